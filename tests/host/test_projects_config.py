"""`tesseract_config.yaml`: what is accepted, and the line that each fault gets."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from support.golden import check_golden

from tesseract import projects
from tesseract.errors import UserError, ValidationError
from tesseract.projects.overrides import parse_override

pytestmark = pytest.mark.fast

API = """
from pydantic import BaseModel
class InputSchema(BaseModel): pass
class OutputSchema(BaseModel): pass
def apply(inputs: InputSchema) -> OutputSchema: return OutputSchema()
"""


def project(folder: Path, config: str | bytes = "name: x\n", **files: str) -> Path:
    (folder / "tesseract_api.py").write_text(API)
    path = folder / "tesseract_config.yaml"
    path.write_bytes(config) if isinstance(config, bytes) else path.write_text(config)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_defaults(tmp_path: Path) -> None:
    config = projects.load(project(tmp_path, "name: x\nbuild_config:\n  # nothing\n")).config
    assert (config.name, config.version, config.build_config.base_image) == ("x", "unknown", "debian:bookworm-slim")
    assert config.build_config.requirements.provider == "uv-pip"


def test_utf16_is_read(tmp_path: Path) -> None:
    config = projects.load(project(tmp_path, "name: x\ndescription: é\n".encode("utf-16"))).config
    assert config.description == "é"


@pytest.mark.parametrize(
    ("written", "platform"),
    [
        ("native", "native"),
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("Linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm/v7", "linux/arm/v7"),
        ("plan9/vax", "plan9/vax"),
    ],
)
def test_platforms_by_their_usual_names(tmp_path: Path, written: str, platform: str) -> None:
    config = projects.load(project(tmp_path, f"name: x\nbuild_config: {{target_platform: {written}}}\n")).config
    assert config.build_config.target_platform == platform


def test_custom_build_steps_are_lines_of_a_containerfile(tmp_path: Path) -> None:
    steps = ["# comment\nRUN a && \\\n  pip install b\n\nENV X=1", "run <<EOF\npip install c\nEOF", ""]
    text = json.dumps({"name": "x", "build_config": {"custom_build_steps": steps}})
    assert projects.load(project(tmp_path, text)).config.build_config.custom_build_steps == tuple(steps)


@pytest.mark.parametrize("version", ["unknown", "1.2.3", "1.2.3-nightly", "1.2.3rc1", "10.0.0-a-b"])
def test_versions(tmp_path: Path, version: str) -> None:
    assert projects.load(project(tmp_path, f"name: x\nversion: '{version}'\n")).config.version == version


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("version: '1.0.0'\n", "name: Field required"),
        ("name: x\nversion: 1.0\n", "version: Input should be a valid string (got 1.0). Put it in quotes."),
        ("name: x\nversion: '1.2'\n", "version: '1.2' is not a valid version number"),
        ("name: x\nversion: 1.0.0+x\n", "version: '1.0.0+x' is not a valid version number"),
        ("name: x\nenv: {A: 1}\n", "env.A: Input should be a valid string (got 1)"),
        ('name: x\nenv: {A: "a\\nb"}\n', "env.A: must not contain a line break"),
        (
            "name: x\nnope: 1\n",
            "nope: Extra inputs are not permitted (got 1). Known keys: build_config, description, env",
        ),
        ("name: x\nverison: '1.0.0'\n", "Did you mean 'version'?"),
        ("name: x\nbuild_config: {base_imag: y}\n", "Did you mean 'base_image'?"),
        ("name: x\nbuild_config: {requirements: {requirement_file: y}}\n", "Did you mean 'requirements_file'?"),
        (
            "name: x\nbuild_config: {host_credentials: [{host: a, secret_id: b, usrname: c}]}\n",
            "Did you mean 'username'?",
        ),
        (
            "name: x\nbuild_config: {extra_packages: git}\n",
            "build_config.extra_packages: Input should be a valid list (got 'git')",
        ),
        (
            "name: x\nbuild_config: {package_data: [[/etc/x, y]]}\n",
            "build_config.package_data.0.0: value must be a relative path (got /etc/x)",
        ),
        (
            "name: x\nbuild_config: {package_data: [['C:\\x', y]]}\n",
            "build_config.package_data.0.0: value must be a relative path",
        ),
        (
            "name: x\nbuild_config: {requirements: {requirements_file: a/b.txt}}\n",
            "build_config.requirements.requirements_file: must be a bare filename",
        ),
        (
            "name: x\nbuild_config: {requirements: {provider: poetry}}\n",
            "build_config.requirements: provider must be 'uv-pip' or 'conda'",
        ),
        (
            "name: x\nbuild_config: {requirements: {provider: conda, python_version: '3.12'}}\n",
            "build_config.requirements: python_version cannot be combined with the conda provider. Pin Python in",
        ),
        ("name: x\nbuild_config: {requirements: null}\n", "build_config.requirements: Input should be a valid mapping"),
        (
            "name: x\nbuild_config: {inherit_base_image_packages: true, requirements: {python_version: '3.12'}}\n",
            "build_config: python_version and inherit_base_image_packages exclude each other",
        ),
        (
            "name: x\nbuild_config: {python_version: '3.12', requirements: {provider: conda}}\n",
            "build_config: python_version cannot be combined with the conda provider",
        ),
        (
            "name: x\nbuild_config: {python_version: '3.12', requirements: {python_version: '3.13'}}\n",
            "build_config: python_version and requirements.python_version differ",
        ),
        (
            "name: x\nbuild_config: {host_credentials: [{host: 'a b', secret_id: t}]}\n",
            "build_config.host_credentials.0.host: contains disallowed characters",
        ),
        (
            "name: x\nbuild_config: {custom_build_steps: [RUN a, pip install foo]}\n",
            "build_config.custom_build_steps.1: 'pip install foo' is no line of a Containerfile. To run it, write "
            "'RUN pip install foo'",
        ),
        ("- a\n", "must contain a YAML mapping."),
        ("", "must contain a YAML mapping."),
        ("name: x\nversion: [1\n", "line 3, column 1: while parsing a flow sequence: expected ',' or ']'"),
        ("name: \0\n", "Invalid YAML in "),
    ],
)
def test_faults_name_file_and_key(tmp_path: Path, config: str, line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        projects.load(project(tmp_path, config))
    assert line in str(caught.value)
    assert "tesseract_config.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_older_spellings_are_accepted_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "name: x\nbuild_config: {python_version: '3.12', requirements: {provider: python-pip}}\n"
    with caplog.at_level(logging.WARNING, "tesseract"):
        logging.getLogger("tesseract").propagate = True
        config = projects.load(project(tmp_path, text)).config
    requirements = config.build_config.requirements
    assert (requirements.provider, getattr(requirements, "python_version", None)) == ("uv-pip", "3.12")
    assert "build_config.requirements.python_version" in caplog.text


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"No file found at .*tesseract_api\.py"):
        projects.load(tmp_path)
    (tmp_path / "tesseract_api.py").write_text("apply(")
    with pytest.raises(ValidationError, match=r"No file found at .*tesseract_config\.yaml"):
        projects.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="No file found at"):
        projects.load_config(tmp_path)


def test_conda_and_lock_files_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="conda env export"):
        projects.load(project(tmp_path, "name: x\nbuild_config: {requirements: {provider: conda}}\n"))
    lock = "name: x\nbuild_config: {requirements: {requirements_file: pylock.dev.toml}}\n"
    with pytest.raises(UserError, match="uv export"):
        projects.load(project(tmp_path, lock))


# ---- overrides ------------------------------------------------------------------------------------------------------


def overridden(folder: Path, *texts: str) -> projects.TesseractConfig:
    return projects.load(project(folder), dict(parse_override(text) for text in texts)).config


def test_override_values(tmp_path: Path) -> None:
    config = overridden(
        tmp_path,
        "build_config.requirements.python_version=3.10",
        "build_config.extra_packages=[git, tree]",
        "build_config.skip_checks=true",
        "env.A=1",
        "description=a=b",
    )
    assert getattr(config.build_config.requirements, "python_version", None) == "3.10"
    assert config.build_config.extra_packages == ("git", "tree")
    assert config.build_config.skip_checks is True
    assert (config.env, config.description) == ({"A": "1"}, "a=b")


def test_override_of_a_whole_branch(tmp_path: Path) -> None:
    project(tmp_path, tesseract_environment__yaml="dependencies: []\n")
    assert (
        overridden(tmp_path, "build_config.requirements={provider: conda}").build_config.requirements.provider
        == "conda"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("build_config.extra_packages=3", 'Invalid value "3" for config override "build_config.extra_packages"'),
        ("version=1.2", 'Invalid value "1.2" for config override "version"'),
        ("build_config.nope=1", "Valid options under build_config: base_image, build_env, custom_build_steps"),
        ("nope=1", "Valid options under (top level): build_config, description, env, metadata, name, version"),
        ("name.x=1", "Valid options under name: (none)"),
    ],
)
def test_bad_overrides(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        overridden(tmp_path, text)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_exclusive_options_are_found_in_overrides(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exclude each other"):
        overridden(
            tmp_path, "build_config.requirements.python_version='3.12'", "build_config.inherit_base_image_packages=true"
        )


def test_exclusive_options_may_change_places_in_any_order(tmp_path: Path) -> None:
    inherits = "name: x\nbuild_config: {inherit_base_image_packages: true}\n"
    changes = ("build_config.requirements.python_version='3.12'", "build_config.inherit_base_image_packages=false")
    for order in (changes, changes[::-1]):
        config = projects.load(project(tmp_path, inherits), dict(map(parse_override, order))).config
        assert config.build_config.requirements.python_version == "3.12"
        assert not config.build_config.inherit_base_image_packages


# ---- published schema -----------------------------------------------------------------------------------------------


def test_published_schema_is_current() -> None:
    text = json.dumps(projects.generate_config_schema(), indent=2) + "\n"
    check_golden(Path(__file__).parents[2] / "docs/tesseract_config.schema.json", text)
