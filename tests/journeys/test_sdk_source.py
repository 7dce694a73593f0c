"""A Tesseract from its source, in an environment that is built for its project."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
from pathlib import Path

import pytest
from tesseract_core import Tesseract
from tesseract_core.sdk.exceptions import UserError

from tesseract.source_env import ensure_environment

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples/helloworld", tmp_path / "helloworld"))


def built(caplog: pytest.LogCaptureFixture) -> int:
    count = sum("Building the environment" in message for message in caplog.messages)
    caplog.clear()
    return count


def test_the_environment_is_built_once_and_again_when_stale(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tesseract")
    tesseract = Tesseract.from_source(project / "tesseract_api.py")
    with tesseract:
        assert tesseract.apply({"name": "Osborne"}) == {"greeting": "Hello Osborne!"}
    assert built(caplog) == 1
    assert (project / ".tesseract-venv/bin/tesseract-runtime").exists()
    with tesseract:
        pass
    assert built(caplog) == 0

    (project / "tesseract_requirements.txt").write_text("tesseract-core\niniconfig\n")
    api = project / "tesseract_api.py"
    api.write_text(api.read_text().replace("Hello", "Goodbye") + "\nimport iniconfig\n")
    with tesseract:
        assert tesseract.apply({"name": "Osborne"}) == {"greeting": "Goodbye Osborne!"}
    assert built(caplog) == 1


def test_two_processes_build_one_environment(project: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(ensure_environment, [project] * 2)
    assert first == second
    assert first.exists()


def test_requirements_that_cannot_be_met(project: Path) -> None:
    (project / "tesseract_requirements.txt").write_text("iniconfig==0.0.0.1\n")
    with pytest.raises(UserError, match=r"(?s)correct its requirements.*iniconfig"):
        Tesseract.from_source(project / "tesseract_api.py").serve()
    assert not (project / ".tesseract-venv/tesseract-stamp").exists()


def test_a_configuration_that_is_wrong(project: Path) -> None:
    (project / "tesseract_config.yaml").write_text("name: 1\n")
    with pytest.raises(UserError, match="name"):
        Tesseract.from_source(project / "tesseract_api.py").serve()
