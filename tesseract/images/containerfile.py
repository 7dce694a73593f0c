"""The Containerfile of a project: a pure function of the plan, from the template in `containers/image`."""

from __future__ import annotations

import functools
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tesseract.images.hostsettings import ARGUMENTS, MOUNT
from tesseract.projects import TesseractConfig

_API = "tesseract_api"


@dataclass(frozen=True)
class Digests:
    """What each installation step reads from the context, as one word each; it decides whether a layer is reused."""

    environment: str = ""
    runtime: str = ""
    packages: str = ""
    requirements: str = ""
    package_data: str = ""


@dataclass(frozen=True)
class ImagePlan:
    """Everything that the template needs.

    Attributes:
        config: The project's configuration.
        version: Version of the tool.
        base_image: Reference to start from.
        dependency_file: Name of the dependency file in the context; empty where nothing is to install.
        needs_git: Whether dependencies come from version control.
        data_pairs: Package data: path in the context, destination.
        host_ids: Secrets with the host's settings.
        secret_ids: The user's secrets.
        ssh: Whether an SSH agent is forwarded.
    """

    config: TesseractConfig
    version: str
    base_image: str
    digests: Digests = field(default_factory=Digests)
    dependency_file: str = ""
    needs_git: bool = False
    data_pairs: Sequence[tuple[str, str]] = ()
    host_ids: Sequence[str] = ()
    secret_ids: Sequence[str] = ()
    ssh: bool = False

    @property
    def title(self) -> str:
        return " ".join(self.config.name.split())

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def project_version(self) -> str:
        return self.config.version

    @property
    def description(self) -> str:
        """One line: line ends, also the last one, become the two characters backslash and n."""
        return re.sub("\r\n|[\r\n]", r"\\n", self.config.description)

    @property
    def metadata(self) -> str:
        return json.dumps(self.config.metadata, default=str)

    @property
    def env(self) -> Mapping[str, str]:
        return self.config.env

    @property
    def arguments(self) -> list[tuple[str, str]]:
        """Build arguments that point tools to the host's settings."""
        return [(variable, f"{MOUNT}/{name}") for name in self.host_ids for variable in ARGUMENTS[name]]

    @property
    def host_mounts(self) -> str:
        return "".join(f" --mount=type=secret,id={name},mode=0444" for name in self.host_ids)

    @property
    def dependency_mounts(self) -> str:
        words = [f"type=secret,id={name}" for name in self.secret_ids]
        words += ["type=tmpfs,target=/run/credentials"] if self.config.build_config.host_credentials else []
        words += ["type=ssh"] if self.ssh else []
        return "".join(f" --mount={word}" for word in words)

    @property
    def conda(self) -> str:
        """Arguments of the step that makes the environment with conda; empty where uv does."""
        return self._dependencies if self.config.build_config.requirements.provider == "conda" else ""

    @property
    def requirements(self) -> str:
        """Arguments of the step that installs dependencies; empty where there is none."""
        return "" if self.conda or not self.dependency_file else self._dependencies

    @property
    def _dependencies(self) -> str:
        return ("--git " if self.needs_git else "") + shlex.quote(self.dependency_file)

    @property
    def environment_options(self) -> str:
        build = self.config.build_config
        python = build.requirements.python_version if build.requirements.provider == "uv-pip" else None
        version = f" --python {shlex.quote(python)}" if python else ""
        return version + (" --inherit" if build.inherit_base_image_packages else "")

    @property
    def extra_packages(self) -> str:
        return shlex.join(self.config.build_config.extra_packages)

    @property
    def package_data(self) -> str:
        return shlex.join([word for pair in self.data_pairs for word in pair])

    @property
    def custom_steps(self) -> list[str]:
        return [self._with_mounts(step) for step in self.config.build_config.custom_build_steps or ()]

    @property
    def api_before_custom_steps(self) -> bool:
        """Usually the API file comes last, so that editing it reruns nothing else."""
        return any(_API in step for step in self.config.build_config.custom_build_steps or ())

    @property
    def skip_checks(self) -> bool:
        return self.config.build_config.skip_checks

    def _with_mounts(self, step: str) -> str:
        """The user's text with the host's settings mounted into each RUN."""
        lines = step.rstrip().split("\n")
        for index, line in enumerate(lines):
            continued = index > 0 and lines[index - 1].rstrip().endswith("\\")
            if not continued:
                lines[index] = re.sub(r"^(\s*RUN)(?=\s)", rf"\1{self.host_mounts}", line, flags=re.IGNORECASE)
        return "\n".join(lines)


def render(plan: ImagePlan, template: Path) -> str:
    """The text of the Containerfile."""
    text: str = _template(template).render(plan=plan)
    return text + "\n"


@functools.cache
def _template(path: Path):  # type: ignore[no-untyped-def]
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # not HTML
    environment.filters.update(literal=literal, expanded=expanded)
    return environment.from_string(path.read_text(encoding="utf-8"))


def expanded(text: str) -> str:
    """A quoted word in which the engine still replaces `$NAME`, as the contract has it for `env`."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def literal(text: str) -> str:
    """A quoted word that means exactly `text`."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
