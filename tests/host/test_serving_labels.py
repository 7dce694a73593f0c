"""No label of an image decides anything: what we read we have set, on containers of our making."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tesseract.backends.spec import ContainerInfo
from tesseract.serving import RunRequest, ServeRequest, address_of, data, labels, paths, plan

pytestmark = pytest.mark.fast

HOST = plan.Host(uid=1, gid=1, cwd=Path("/"))


def container(name: str, labels: Mapping[str, str], host_network: bool = False) -> ContainerInfo:
    return ContainerInfo("1", name, "i", "i", "running", {}, labels, host_network=host_network)


@pytest.mark.parametrize("name", [None, "", "another"])
def test_labels_that_an_image_brings_along_count_for_nothing(name: str | None) -> None:
    claims = dict.fromkeys(labels.ALL, "/home/ada") | {labels.UID: str(os.getuid()), labels.HOST_IP: "192.0.2.1"}
    claims[labels.NAME] = name or ""
    if name is None:
        del claims[labels.NAME]
    foreign = container("n", claims, host_network=True)
    assert labels.of(foreign) == {}
    assert not labels.is_mine(foreign)
    assert (address_of(foreign).socket, address_of(foreign).ip) == (None, "127.0.0.1")
    assert data.output_of(foreign) is None


def test_every_label_is_set_whatever_the_container_is_for() -> None:
    """So that nothing of an image's shows through."""
    for spec in (
        plan.serve_spec(ServeRequest(image="i"), "i", "n", HOST),
        plan.run_spec(RunRequest(image="i", command="apply"), "i", "n", HOST, plan.Payload()),
    ):
        assert set(labels.ALL) <= set(spec.labels)
        assert labels.of(spec) == {labels.NAME: "n", labels.UID: "1", labels.VERSION: spec.labels[labels.VERSION]} | (
            {labels.HOST_IP: "127.0.0.1"} if "serve" in spec.command else {}
        )


@pytest.mark.parametrize("words", [["--name", "mine"], ["--name=first", "-d", "--name=mine"]])
def test_a_name_among_the_raw_arguments_is_the_containers(words: list[str]) -> None:
    spec = plan.serve_spec(ServeRequest(image="i", engine_args=words), "i", "n", HOST)
    assert spec.labels[labels.NAME] == "mine"
    assert labels.is_mine(container("mine", {**spec.labels, labels.UID: str(os.getuid())}))


def test_only_socket_directories_of_ours_are_removed(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path / "run"))
    (short_path / "run").mkdir(mode=0o700)
    ours = paths.socket_dir("tesseract-0123456789ab")
    elsewhere = short_path / "tesseract/tesseract-0123456789ab"
    others = [elsewhere, ours.parent, ours.parent / "precious", short_path / "run"]
    for place in (ours, *others):
        place.mkdir(parents=True, exist_ok=True)
        paths.remove_socket_dir(place)
    assert [place.exists() for place in (ours, *others)] == [False, True, True, True, True]
