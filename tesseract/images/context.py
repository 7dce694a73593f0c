"""The build context: a project and the installed runtime, laid out as files, with the Containerfile that uses them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tesseract.errors import StagingError, ValidationError
from tesseract.images import ignore, installed, staging, wheels
from tesseract.images.containerfile import Digests, ImagePlan, render
from tesseract.images.staging import DATA_DIR, RUNTIME_DIR, SOURCE_DIR
from tesseract.projects import Project, TesseractConfig, git_versions
from tesseract.projects.loading import API_FILE
from tesseract.projects.requirements import (
    LOCAL_DIR,
    Dependencies,
    conda_dependencies,
    lock_dependencies,
    pip_dependencies,
)

_SCRIPTS = ("install.sh", "entrypoint.sh", "place_data.py", "credentials.py", "constraints.txt")


@dataclass(frozen=True)
class ContextRequest:
    """What a context depends on beside the project.

    Attributes:
        folder: Where to make it; exists and is empty.
        base_image: Reference to start from.
        whole_source: Copy the whole project, for people who look into the context.
        host_ids, secret_ids, ssh: See `ImagePlan`.
    """

    folder: Path
    base_image: str
    whole_source: bool = False
    host_ids: Sequence[str] = ()
    secret_ids: Sequence[str] = ()
    ssh: bool = False


def make_context(project: Project, request: ContextRequest) -> Path:
    """Fill the folder. Returns the path of the Containerfile.

    Raises:
        StagingError: A local dependency or package data is missing, or two want one place.
        ValidationError: A dependency file is wrong.
    """
    folder, config = request.folder, project.config
    _check_python(config)
    dependencies = _dependencies(project)
    runtime = installed.runtime()
    sources = installed.containers_dir() / "image"
    for name in _SCRIPTS:
        shutil.copy2(sources / name, folder / name)
    _write(folder / ".dockerignore", "".join(f"{pattern}\n" for pattern in ignore.ALWAYS))
    _stage_uv(folder, config.build_config.target_platform)
    _stage_runtime(folder, runtime)
    _stage_dependencies(folder, dependencies, project)
    _stage_settings(folder, config)
    _stage_source(folder, project, request.whole_source)
    pairs = _stage_package_data(folder, project)
    steps = (folder / "install.sh", *_optional(folder / "build_env.sh"))
    common = (folder / "constraints.txt", folder / "runtime_requirements.txt")
    project_needs = (
        dependencies.text,
        folder / LOCAL_DIR,
        folder / "host_credentials.txt",
        folder / "credentials.py",
        folder / "tesseract-constraints.txt",
    )
    # conda makes the environment and installs what the project needs in one step.
    conda = config.build_config.requirements.provider == "conda"
    plan = ImagePlan(
        config=config,
        version=runtime.version,
        base_image=request.base_image,
        digests=Digests(
            environment=staging.digest(*steps, *common, *(project_needs if conda else ())),
            runtime=staging.digest(*steps, folder / RUNTIME_DIR, folder / "entrypoint.sh"),
            packages=staging.digest(*steps),
            requirements=staging.digest(*steps, *project_needs),
            package_data=staging.digest(folder / "place_data.py", folder / DATA_DIR) if pairs else "",
        ),
        dependency_file=dependencies.file_name if dependencies.text.strip() else "",
        needs_git=dependencies.needs_git,
        data_pairs=pairs,
        host_ids=request.host_ids,
        secret_ids=request.secret_ids,
        ssh=request.ssh,
    )
    containerfile = folder / "Containerfile"
    _write(containerfile, render(plan, sources / "Containerfile.j2"))
    return containerfile


def _check_python(config: TesseractConfig) -> None:
    requirements = config.build_config.requirements
    version = requirements.python_version if requirements.provider == "uv-pip" else None
    numbers = version.split(".") if version else []
    if (
        len(numbers) > 1
        and all(number.isdecimal() for number in numbers[:2])
        and tuple(map(int, numbers[:2])) < (3, 11)
    ):
        raise ValidationError(
            f"build_config.requirements.python_version: Python {version} is too old, 3.11 or newer is needed."
        )


def _dependencies(project: Project) -> Dependencies:
    requirements = project.config.build_config.requirements
    if requirements.provider == "conda":
        return conda_dependencies(project.requirements_file)
    if requirements.is_lock_file:
        return lock_dependencies(project.requirements_file)
    found = pip_dependencies(project.requirements_file)
    if "--hash" in found.text and project.config.build_config.inherit_base_image_packages:
        raise ValidationError(
            f"{project.requirements_file}: hashes and inherit_base_image_packages exclude each other, because pip then "
            "wants a hash for all that it installs. Leave the hashes out, or use a lock file."
        )
    return found


def _stage_uv(folder: Path, platform: str) -> None:
    if platform == "native":
        staging.link_or_copy(installed.uv_binary(), folder / "uv")
    else:
        installed.fetch_uv(platform, folder / "uv")


def _stage_runtime(folder: Path, runtime: installed.Runtime) -> None:
    target = folder / RUNTIME_DIR
    target.mkdir()
    wheels.write_wheel(
        target,
        "tesseract-runtime",
        runtime.version,
        requires=runtime.requires,
        packages=[runtime.package],
        scripts=runtime.scripts,
        summary="The Tesseract runtime",
    )
    # A requirement on tesseract-core is met by the runtime: no resolver ever fetches another one.
    ours = wheels.write_wheel(
        target, "tesseract-core", runtime.version, requires=[f"tesseract-runtime=={runtime.version}"]
    )
    pins = [f"{name}=={runtime.version}\n" for name in ("tesseract-core", "tesseract-runtime")]
    _write(folder / "tesseract-constraints.txt", "".join(pins))
    _write(folder / "overrides.txt", f"tesseract-core @ file:///run/tesseract/{RUNTIME_DIR}/{ours.name}\n")
    _write(folder / "runtime_requirements.txt", "".join(f"{line}\n" for line in runtime.requires))


def _stage_dependencies(folder: Path, dependencies: Dependencies, project: Project) -> None:
    (folder / LOCAL_DIR).mkdir()
    rules = ignore.of_project(project.src_dir)
    for local in dependencies.local:
        inside = _inside(local.source, project)
        if inside is None or rules(inside):
            # What the ignore file names is wanted all the same, because the requirements name it.
            _copy(local.source, folder / local.target, PurePosixPath(), ignore.Ignore(), folder)
        else:
            _copy(local.source, folder / local.target, inside, rules, folder)
        if local.source.is_dir():
            git_versions.complete(local.source, folder / local.target, project.config.build_config.build_env)
    _write(folder / dependencies.file_name, dependencies.text)


def _stage_settings(folder: Path, config: TesseractConfig) -> None:
    build = config.build_config
    _write(
        folder / "host_credentials.txt",
        "".join(f"{login.host} {login.secret_id} {login.username}\n" for login in build.host_credentials),
    )
    if build.build_env:
        exports = [f"export {name}={shlex.quote(value)}\n" for name, value in build.build_env.items()]
        _write(folder / "build_env.sh", "".join(exports))


def _stage_source(folder: Path, project: Project, whole: bool) -> None:
    target = folder / SOURCE_DIR
    target.mkdir()
    wanted = any(SOURCE_DIR in step for step in project.config.build_config.custom_build_steps or ())
    if whole or wanted:
        rules = ignore.of_project(project.src_dir)
        _copy(project.src_dir, target, PurePosixPath(), rules, folder, strict=wanted)
    shutil.copy2(project.api_file, target / API_FILE)


def _stage_package_data(folder: Path, project: Project) -> list[tuple[str, str]]:
    pairs = project.config.build_config.package_data or ()
    destinations = [os.path.normpath(os.path.join("/tesseract", destination)) for _, destination in pairs]
    for name, destination in pairs:
        if re.search(r"[\x00-\x1f\x7f]", name + destination):
            raise StagingError(f"package_data cannot copy {name!r} to {destination!r}: it holds a control character.")
    twice = sorted({place for place in destinations if destinations.count(place) > 1 and not _is_folder(place, pairs)})
    if twice:
        raise StagingError(f"package_data has duplicate target path(s): {', '.join(twice)}. Each needs its own.")
    rules = ignore.of_project(project.src_dir)
    staged = []
    for index, (name, destination) in enumerate(pairs):
        source = Path(os.path.normpath(project.src_dir / name))
        if not source.exists() and not source.is_symlink():
            raise StagingError(f"package_data source file not found: {name} (resolved to {source})")
        inside = _inside(source, project)
        if inside is not None and rules(inside):
            raise StagingError(
                f"package_data source {name} is left out by the project's ignore file, or is never copied (.git and "
                "the like). Change its name there, or here."
            )
        path = f"{DATA_DIR}/{index}/{source.name}"
        _copy(source, folder / path, inside or PurePosixPath(), None if inside is None else rules, folder)
        staged.append((path, destination))
    return staged


def _inside(path: Path, project: Project) -> PurePosixPath | None:
    """Where in the project folder a path lies, or None."""
    for base in (project.src_dir, project.src_dir.resolve()):
        if path.is_relative_to(base):
            return PurePosixPath(path.relative_to(base))
    return None


def _copy(
    source: Path,
    target: Path,
    place: PurePosixPath,
    rules: ignore.Ignore | None,
    context: Path,
    strict: bool = True,
) -> None:
    """Copy what the rules leave, and never the context into itself.

    Args:
        place: Where the source lies in the folder that the rules are for.
        rules: None copies everything.
        strict: See `staging.copy`.
    """
    real = os.path.realpath(context)

    def leave_out(path: PurePosixPath) -> bool:
        full = source / path
        if os.path.realpath(full) == real:  # Path.resolve() raises for a link to itself, before Python 3.13
            return True
        if rules is None:
            return False
        return rules.prunes(place / path) if full.is_dir() else rules(place / path)

    staging.copy(source, target, leave_out, strict)
    # Ignored folders that were looked through for what is taken back, and had nothing.
    for folder, _, _ in os.walk(target, topdown=False):
        relative = PurePosixPath(os.path.relpath(folder, target))
        if rules is not None and rules(place / relative) and not os.listdir(folder):
            os.rmdir(folder)


def _is_folder(place: str, pairs: Sequence[tuple[str, str]]) -> bool:
    # Several files may go into one folder, where the destination says by a slash that it is one.
    same = [target for _, target in pairs if os.path.normpath(os.path.join("/tesseract", target)) == place]
    return len(set(same)) == len(same) and all(target.endswith("/") for target in same)


def _optional(path: Path) -> tuple[Path, ...]:
    return (path,) if path.exists() else ()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
