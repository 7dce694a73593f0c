"""Building from Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tesseract_core import Tesseract, build_tesseract
from tesseract_core.sdk.docker_client import BuildError, CLIDockerClient, Image
from tesseract_core.sdk.exceptions import UserError, ValidationError

pytestmark = pytest.mark.needs_engine("podman")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples/helloworld", tmp_path / "sdk-build"))


def test_build_serve_remove(project: Path, base_image: str) -> None:
    lines: list[str] = []
    override = {("name",): "sdk-build", ("env",): {"GREETING": "hi"}}
    image = build_tesseract(project, "1.0", config_override=override, stream_logs=lines.append)
    try:
        assert isinstance(image, Image)
        assert image.tags == ["sdk-build:1.0"]
        assert any("check successful" in line for line in lines)
        assert "GREETING=hi" in image.attrs["Config"]["Env"]
        with Tesseract.from_image("sdk-build:1.0") as tesseract:
            assert tesseract.apply({"name": "Osborne"}) == {"greeting": "Hello Osborne!"}
    finally:
        CLIDockerClient().images.remove("sdk-build:1.0")
    assert subprocess.run(["podman", "image", "exists", "sdk-build:1.0"], check=False).returncode == 1


def test_generate_only(project: Path, tmp_path: Path) -> None:
    context = build_tesseract(str(project), None, build_dir=tmp_path / "context", generate_only=True)
    assert context == tmp_path / "context"
    assert (context / "__tesseract_source__/tesseract_api.py").exists()


def test_failures(project: Path, base_image: str) -> None:
    with pytest.raises(ValueError, match="tag"):
        build_tesseract(project, "no/tag")
    with pytest.raises(UserError, match="no_such_option"):
        build_tesseract(project, None, config_override={("no_such_option",): 1})
    (project / "tesseract_api.py").write_text("def apply(inputs): ...\n")
    with pytest.raises(ValidationError, match="InputSchema"):
        build_tesseract(project, None)


def test_a_build_that_fails_carries_its_log(project: Path, base_image: str) -> None:
    steps = {("build_config", "custom_build_steps"): ["RUN echo about to fail && false"]}
    with pytest.raises(BuildError) as caught:
        build_tesseract(project, "broken", config_override=steps)
    assert any("about to fail" in line for line in caught.value.build_log)
    assert "about to fail" in str(caught.value)
