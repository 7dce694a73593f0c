"""Reading a project folder: configuration, API module, dependency files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError as SchemaError

from tesseract.errors import UserError, ValidationError
from tesseract.projects.api_checks import check_api
from tesseract.projects.config import CondaRequirements, TesseractConfig
from tesseract.projects.overrides import apply_overrides
from tesseract.projects.report import lines, yaml_fault

logger = logging.getLogger("tesseract")

API_FILE = "tesseract_api.py"
CONFIG_FILE = "tesseract_config.yaml"
CONDA_FILE = "tesseract_environment.yaml"


@dataclass(frozen=True)
class Project:
    """A project folder that passed the static checks.

    Attributes:
        src_dir: Absolute path of the folder.
        config: Its configuration, overrides applied.
        requirements_file: Absolute path of the dependency file; it may not exist (then there are no dependencies).
    """

    src_dir: Path
    config: TesseractConfig
    requirements_file: Path

    @property
    def api_file(self) -> Path:
        """Absolute path of the API module."""
        return self.src_dir / API_FILE


def load(src_dir: str | Path, overrides: Mapping[Sequence[str], Any] | None = None) -> Project:
    """Read and check a project folder.

    Args:
        src_dir: The folder.
        overrides: Configuration values by key path, e.g. `{("build_config", "base_image"): "ubuntu:24.04"}`.

    Raises:
        ValidationError: A file is missing or wrong.
        UserError: An override names no option or has a wrong value; a dependency file that must exist does not.
    """
    src = Path(src_dir).absolute()
    for name in (API_FILE, CONFIG_FILE):
        if not (src / name).is_file():
            raise ValidationError(f"No file found at {src / name}")
    config = load_config(src)
    check_api(src / API_FILE)
    apply_overrides(config, overrides or {})
    return Project(src, config, _dependency_file(src, config))


def load_config(src_dir: str | Path) -> TesseractConfig:
    """Read `tesseract_config.yaml`.

    Raises:
        FileNotFoundError: There is none.
        ValidationError: It is no YAML, or not what it must be; one line per fault.
    """
    path = Path(src_dir) / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"No file found at {path}")
    try:
        # Bytes: YAML's own encoding rules hold, whatever the locale is.
        raw = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValidationError(f"Invalid YAML in {path}: {yaml_fault(error)}") from error
    if not isinstance(raw, dict):
        raise ValidationError(f"{path} must contain a YAML mapping.")
    try:
        return TesseractConfig.model_validate(raw)
    except SchemaError as error:
        faults = lines(error)
        text = f"Invalid configuration: {path}: "
        raise ValidationError(text + (faults[0] if len(faults) == 1 else "\n  " + "\n  ".join(faults))) from error


def _dependency_file(src: Path, config: TesseractConfig) -> Path:
    requirements = config.build_config.requirements
    if isinstance(requirements, CondaRequirements):
        path = src / CONDA_FILE
        if not path.is_file():
            raise UserError(
                f"The conda provider needs {CONDA_FILE}, which is not in {src}. Write it with "
                f"`conda env export --no-builds > {CONDA_FILE}`, or set build_config.requirements.provider to uv-pip."
            )
        return path
    path = src / requirements.requirements_file
    if requirements.is_lock_file and not path.is_file():
        raise UserError(
            f"The lock file {path} does not exist. Write it with `uv export --format pylock.toml -o {path.name}`."
        )
    if "requirements_file" in requirements.model_fields_set and not path.is_file():
        logger.warning("%s does not exist: the image gets no packages but the runtime's", path)
    return path
