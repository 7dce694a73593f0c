"""GPUs by CDI: real specifications and device nodes, no hardware."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tesseract.backends.base import Backend
from tesseract.backends.spec import ContainerSpec, GpuRequest
from tesseract.errors import ContainerNotFound, GpuNotFound

Python = Callable[..., ContainerSpec]
Run = Callable[[ContainerSpec], tuple]
DEVICES = "import os; print(sorted(name for name in os.listdir('/dev') if name.startswith('nvidia')))"


@pytest.fixture
def podman(backend: Backend) -> Backend:
    if backend.info().name != "podman":
        pytest.skip("Docker 20.10 knows no CDI: its request is golden-filed")
    return backend


@pytest.mark.needs_cdi
@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (("0",), ["nvidia0", "nvidiactl"]),
        (("0", "1"), ["nvidia0", "nvidia1", "nvidiactl"]),
        (("all",), ["nvidia0", "nvidia1", "nvidiactl"]),
        (("nvidia.com/gpu=1",), ["nvidia1", "nvidiactl"]),
    ],
)
def test_devices_are_there(
    podman: Backend, python: Python, run: Run, devices: tuple[str, ...], expected: list[str]
) -> None:
    status, out, err, _ = run(python(DEVICES, gpus=GpuRequest(devices)))
    assert (status, out.decode().strip()) == (0, str(expected)), err
    assert run(python(DEVICES, gpus=GpuRequest(devices), raw_args=("--env=A=1",)))[1] == out


def test_without_a_request_there_is_none(python: Python, run: Run) -> None:
    assert run(python(DEVICES))[1] == b"[]\n"


@pytest.mark.parametrize("device", ["7", "GPU-00000000-dead-beef-0000-000000000000", "example.com/npu=0"])
def test_an_unknown_gpu_is_an_error_and_never_silence(backend: Backend, python: Python, name: str, device: str) -> None:
    with pytest.raises(GpuNotFound) as caught:
        backend.start(python("", gpus=GpuRequest((device,))))
    if backend.info().name == "podman":
        assert device in str(caught.value)
        assert "nvidia-ctk cdi generate" in str(caught.value)
    with pytest.raises(ContainerNotFound):
        backend.container(name)
