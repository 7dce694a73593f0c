"""Variables of a container that the engine's executable makes: none of them in its argv, none of them changed."""

from __future__ import annotations

import pytest

from tesseract.backends import variables
from tesseract.backends.spec import ContainerSpec
from tesseract.errors import InvalidValue

pytestmark = pytest.mark.fast

BY_FILE = {"A": "1", "EMPTY": "", "ODD": " # \"quoted\" = 'x' \\n ü", "TAB": "a\tb"}
BY_ENVIRONMENT = {"LINES": "one\ntwo", "END": "text\r", "LONG": "x" * 70_000}


def test_where_each_goes() -> None:
    env = BY_FILE | BY_ENVIRONMENT
    assert variables.words(env) == ["--env-file=/dev/stdin", "--env=LINES", "--env=END", "--env=LONG"]
    lines = variables.file(env).decode().splitlines()
    assert lines == [f"{name}={value}" for name, value in BY_FILE.items()]
    assert variables.environment(env) == BY_ENVIRONMENT
    assert variables.words({}) == []
    assert variables.words({"LINES": "one\ntwo"}) == ["--env=LINES"]


def test_variables_among_the_raw_arguments_are_variables() -> None:
    raw = (
        "--env",
        "A=1=2",
        "-e",
        "B=two words",
        "--env=C=",
        "-eD=4",
        "-e=E=5",
        "--hostname",
        "x",
        "-e",
        "PASSED",
        "--env=ON",
    )
    spec = variables.lifted(ContainerSpec("i", "n", env={"A": "0", "F": "6"}, raw_args=raw))
    assert spec.env == {"A": "1=2", "B": "two words", "C": "", "D": "4", "E": "5", "F": "6"}
    assert spec.raw_args == ("--hostname", "x", "-e", "PASSED", "--env=ON")
    assert variables.lifted(ContainerSpec("i", "n", raw_args=("--env",))).raw_args == ("--env",)


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "https_proxy", "CONTAINER_HOST", "DOCKER_HOST", "with space"])
def test_what_would_steer_the_executable_is_refused(name: str) -> None:
    assert variables.environment({name.replace(" ", "_"): "one line"}) == {}
    with pytest.raises(InvalidValue, match=name):
        variables.environment({name: "one\ntwo"})


def test_behind_sudo_there_is_no_environment() -> None:
    assert variables.environment(BY_FILE, inherited=False) == {}
    with pytest.raises(InvalidValue, match="LINES"):
        variables.environment({"LINES": "one\ntwo"}, inherited=False)
