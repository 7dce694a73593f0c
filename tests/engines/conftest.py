"""One suite, every engine: the fixture `backend` is each engine that this machine offers."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tesseract.backends.base import Backend
from tesseract.backends.select import get_backend
from tesseract.backends.spec import BuildSpec, ContainerInfo, ContainerSpec, UserMapping
from tesseract.errors import EngineUnavailable


def _engine(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.needs_engine(name))


@pytest.fixture(scope="session", params=[_engine("podman"), _engine("docker")])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    before = os.environ.get("DOCKER_HOST")
    if request.param == "docker":
        os.environ["DOCKER_HOST"] = os.environ["TESSERACT_DOCKER_TEST_HOST"]
    try:
        engine = get_backend(request.param)
        yield engine
        engine.close()
    finally:
        os.environ.pop("DOCKER_HOST", None)
        if before is not None:
            os.environ["DOCKER_HOST"] = before


@pytest.fixture(scope="session")
def engine_base(backend: Backend, base_image: str) -> str:
    """The base image, in this engine's store."""
    if backend.info().name == "docker":
        with subprocess.Popen(["podman", "save", base_image], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "load", "-q"], stdin=saved.stdout, check=True, capture_output=True)
    return base_image


@pytest.fixture(scope="session")
def image(backend: Backend, engine_base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Id of a small image with Python, environment, labels, a user of its own and a volume."""
    context = tmp_path_factory.mktemp("image")
    (context / "Containerfile").write_text(
        f"FROM {engine_base}\nENV GREETING='hello world' EMPTY=\nLABEL org.example.kind=contract\n"
        'VOLUME /anonymous\nUSER 9999\nENTRYPOINT ["python3"]\nCMD ["-c", "print(1)"]\n'
    )
    tag = f"contract-{secrets.token_hex(3)}:1"
    image_id = backend.build(
        BuildSpec(context, context / "Containerfile", (tag,), pull="never"), on_line=lambda line: None
    )
    yield image_id
    backend.remove_image(tag)


@pytest.fixture
def caller() -> UserMapping:
    return UserMapping(os.getuid(), os.getgid())


@pytest.fixture
def name(backend: Backend) -> Iterator[str]:
    """A name for a container, which is removed afterwards."""
    chosen = f"contract-{secrets.token_hex(4)}"
    yield chosen
    backend.remove(chosen)


@pytest.fixture
def python(image: str, name: str, caller: UserMapping) -> Callable[..., ContainerSpec]:
    """The specification of a container that runs Python code as the caller."""

    def make(code: str, *args: str, **more: object) -> ContainerSpec:
        options = {"image": image, "name": name, "user": caller, "command": ("-uc", code, *args), **more}
        return ContainerSpec(**options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def run(backend: Backend) -> Callable[[ContainerSpec], tuple[int, bytes, bytes, ContainerInfo]]:
    """Run to the end: exit status, stdout, stderr, last state."""

    def run_to_end(spec: ContainerSpec) -> tuple[int, bytes, bytes, ContainerInfo]:
        out, err = bytearray(), bytearray()
        status, info = backend.run(spec, out.extend, err.extend)
        return status, bytes(out), bytes(err), info

    return run_to_end


@pytest.fixture
def shared_dir(tmp_path: Path) -> Path:
    """A directory that containers of any engine may be given."""
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture(autouse=True)
def _nothing_left(backend: Backend) -> Iterator[None]:
    """Engine tests leave no container behind."""
    before = {container.id for container in backend.containers(all=True)}
    yield
    try:
        after = backend.containers(all=True)
    except EngineUnavailable:  # the test has ended it
        return
    assert [(container.name, container.status) for container in after if container.id not in before] == []
