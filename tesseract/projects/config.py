"""The model of `tesseract_config.yaml`: all fields of the contract, strict, unknown keys refused.

Spellings of the 1.11 generation (`provider: python-pip`, `build_config.python_version`) are accepted with a warning.
"""

from __future__ import annotations

import logging
import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictStr,
    Tag,
    model_validator,
)

logger = logging.getLogger("tesseract")

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEFAULT_BASE_IMAGE = "debian:bookworm-slim"
LOCK_FILE = re.compile(r"pylock(\.[^./]+)?\.toml")
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+[a-zA-Z0-9-]*")


def _version(value: str) -> str:
    if value != "unknown" and not _VERSION.fullmatch(value):
        raise ValueError(
            f"'{value}' is not a valid version number for a Tesseract. Only three dot-separated digits (e.g. 1.2.3) "
            "are allowed, optionally followed by a hyphen and a string (e.g. 1.2.3-nightly)"
        )
    return value


def _relative(value: str) -> str:
    if PurePosixPath(value).is_absolute() or PureWindowsPath(value).drive or PureWindowsPath(value).root:
        raise ValueError(f"value must be a relative path (got {value})")
    return value


def _bare_file_name(value: str) -> str:
    if value in ("", ".", "..") or "/" in value or "\\" in value:
        raise ValueError("must be a bare filename in the Tesseract source directory, not a path")
    return value


def _one_line(value: str) -> str:
    if any(character in value for character in "\n\r\0"):
        raise ValueError("must not contain a line break: an image's environment cannot hold one; set it when serving")
    return value


# What machines call themselves, beside OCI's names.
_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "arm64v8": "arm64"}


def _platform(value: str) -> str:
    """An OCI platform under its usual name: `linux/x86_64` is `linux/amd64`, and so is `amd64`."""
    words = value.strip().lower().split("/")
    words = words if len(words) > 1 or words[0] == "native" else ["linux", *words]
    words[1:2] = [_ARCHITECTURES.get(word, word) for word in words[1:2]]
    return "/".join(words[:2] if words[1:] in (["arm64", "v8"], ["amd64", "v1"]) else words)


_INSTRUCTION = re.compile(
    "(ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|FROM|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|RUN|SHELL|STOPSIGNAL|USER|VOLUME"
    r"|WORKDIR)\b",
    re.IGNORECASE,
)


def _containerfile_lines(step: str) -> str:
    continued = False
    for line in step.splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if not continued and not _INSTRUCTION.match(text):
            raise ValueError(f"'{text}' is no line of a Containerfile. To run it, write 'RUN {text}'")
        continued = text.endswith("\\")
        if "<<" in text:  # a here-document follows
            break
    return step


def _matching(pattern: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"contains disallowed characters (must match {pattern}, got '{value}')")
        return value

    return AfterValidator(check)


def _list_of_pairs(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


EnvName = Annotated[StrictStr, _matching(r"[A-Za-z_][A-Za-z0-9_.-]*")]
ShellName = Annotated[StrictStr, _matching(r"[A-Za-z_][A-Za-z0-9_]*")]
EnvValue = Annotated[StrictStr, AfterValidator(_one_line)]
Pair = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_relative)], StrictStr],
    BeforeValidator(_list_of_pairs),
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class PipRequirements(_Model):
    """Dependencies from a requirements file or a PEP 751 lock file, installed by uv."""

    provider: Literal["uv-pip"] = Field(default="uv-pip", description="Install with uv (python-pip is accepted, too).")
    python_version: StrictStr | None = Field(
        default=None, description="Python version to install, e.g. '3.12'; default: the base image's python3."
    )
    requirements_file: Annotated[StrictStr, AfterValidator(_bare_file_name)] = Field(
        default="tesseract_requirements.txt",
        description="Requirements file, or a lock file named pylock.toml or pylock.<word>.toml.",
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_python_pip(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("provider") == "python-pip":
            logger.warning("build_config.requirements.provider: 'python-pip' is now called 'uv-pip'.")
            data = {**data, "provider": "uv-pip"}
        return data

    @property
    def is_lock_file(self) -> bool:
        """Whether the requirements file is a lock file, which is installed as it is."""
        return LOCK_FILE.fullmatch(self.requirements_file) is not None


_PYTHON_AND_CONDA = (
    "python_version cannot be combined with the conda provider. Pin Python in tesseract_environment.yaml instead "
    "(dependencies: [python=3.12])"
)


class CondaRequirements(_Model):
    """Dependencies from tesseract_environment.yaml, installed by conda."""

    provider: Literal["conda"] = "conda"

    @model_validator(mode="before")
    @classmethod
    def _no_python_version(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("python_version") is not None:
            raise ValueError(_PYTHON_AND_CONDA)
        return data


def _provider(value: Any) -> str:
    name = value.get("provider", "uv-pip") if isinstance(value, dict) else getattr(value, "provider", "uv-pip")
    return {"uv-pip": "PipRequirements", "python-pip": "PipRequirements", "conda": "CondaRequirements"}.get(
        str(name), "unknown"
    )


Requirements = Annotated[
    Annotated[PipRequirements, Tag("PipRequirements")] | Annotated[CondaRequirements, Tag("CondaRequirements")],
    Discriminator(
        _provider,
        custom_error_type="provider",
        custom_error_message="provider must be 'uv-pip' or 'conda'",
    ),
]


class HostCredential(_Model):
    """Login for a host that requirements are fetched from; the password comes from a build secret."""

    host: Annotated[StrictStr, _matching(r"[A-Za-z0-9.:-]+")] = Field(description="Host name, with port if it has one.")
    secret_id: Annotated[StrictStr, _matching(r"[A-Za-z0-9._-]+")] = Field(description="The ID in --secret id=ID,...")
    username: Annotated[StrictStr, _matching(r"[\x21-\x7e]+")] = Field(default="__token__", description="Login name.")


class BuildConfig(_Model):
    """How the image is built."""

    base_image: StrictStr = Field(default=DEFAULT_BASE_IMAGE, description="Debian or Ubuntu based image to start from.")
    target_platform: Annotated[StrictStr, AfterValidator(_platform)] = Field(
        default="native",
        description="'native', or an OCI platform such as linux/arm64.",
        examples=["native", "linux/arm64"],
    )
    extra_packages: tuple[StrictStr, ...] = Field(default=(), description="Debian packages to install with apt-get.")
    package_data: tuple[Pair, ...] | None = Field(
        default=(), description="Pairs [source, destination]: files of the project to copy into the image."
    )
    custom_build_steps: tuple[Annotated[StrictStr, AfterValidator(_containerfile_lines)], ...] | None = Field(
        default=(), description="Lines of a Containerfile, run as root after the installation."
    )
    inherit_base_image_packages: bool = Field(
        default=False, description="Let user code see the base image's Python packages."
    )
    requirements: Requirements = Field(default_factory=PipRequirements, description="Where dependencies come from.")
    skip_checks: bool = Field(default=False, description="Do not run the checks in the image at the end of the build.")
    host_credentials: tuple[HostCredential, ...] = Field(default=(), description="Logins for private package hosts.")
    build_env: dict[ShellName, EnvValue] = Field(
        default_factory=dict, description="Environment while dependencies are installed; not for secrets."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_1_11(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "python_version" not in data:
            return data
        data = dict(data)
        version = data.pop("python_version")
        if version is None:
            return data
        requirements = data.get("requirements", {})
        if isinstance(requirements, BaseModel):
            requirements = requirements.model_dump()
        if not isinstance(requirements, dict):
            return data
        if requirements.get("provider") == "conda":
            raise ValueError(_PYTHON_AND_CONDA)
        if requirements.get("python_version") not in (None, version):
            raise ValueError(
                "python_version and requirements.python_version differ. Keep only requirements.python_version"
            )
        logger.warning("build_config.python_version is now build_config.requirements.python_version.")
        data["requirements"] = {**requirements, "python_version": version}
        return data

    @model_validator(mode="after")
    def _exclusions(self) -> BuildConfig:
        version = self.requirements.python_version if isinstance(self.requirements, PipRequirements) else None
        if version is not None and self.inherit_base_image_packages:
            raise ValueError(
                "python_version and inherit_base_image_packages exclude each other: the inherited packages belong to "
                "the base image's own interpreter. Set only one of the two"
            )
        return self


class TesseractConfig(_Model):
    """Configuration of a Tesseract: `tesseract_config.yaml`."""

    name: Annotated[StrictStr, Field(min_length=1)] = Field(description="Name of the Tesseract and of its image.")
    version: Annotated[StrictStr, Field(min_length=1, max_length=128), AfterValidator(_version)] = Field(
        default="unknown", description="Version, e.g. 1.2.3 or 1.2.3-nightly; also a tag of the image."
    )
    description: StrictStr = Field(default="", description="What it computes; becomes the description of its API.")
    build_config: Annotated[BuildConfig, BeforeValidator(lambda value: {} if value is None else value)] = Field(
        default_factory=BuildConfig, description="How the image is built."
    )
    env: dict[EnvName, EnvValue] = Field(default_factory=dict, description="Environment variables of the image.")
    metadata: dict[StrictStr, Any] = Field(default_factory=dict, description="Anything; becomes a label of the image.")


def generate_config_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `tesseract_config.yaml`, for editors."""
    schema = {"$schema": SCHEMA_DIALECT, **TesseractConfig.model_json_schema()}
    definitions = schema["$defs"]
    build = definitions["BuildConfig"]["properties"]
    # What validators accept beside the declared type: older spellings, and `build_config:` with nothing below it.
    definitions["PipRequirements"]["properties"]["provider"] = {
        "default": "uv-pip",
        "description": "Install with uv. python-pip is the older name.",
        "enum": ["uv-pip", "python-pip"],
        "title": "Provider",
    }
    build["python_version"] = {
        "anyOf": [{"type": "string"}, {"type": "null"}],
        "default": None,
        "deprecated": True,
        "description": "Older place of requirements.python_version.",
        "title": "Python Version",
    }
    properties = schema["properties"]
    properties["build_config"] = {
        "anyOf": [{"$ref": "#/$defs/BuildConfig"}, {"type": "null"}],
        "description": "How the image is built.",
    }
    properties["version"]["pattern"] = f"^(unknown|{_VERSION.pattern})$"
    return schema
