"""The small grammars, given anything at all: a value or our error, never a traceback."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tesseract import errors
from tesseract.backends import cdi, inspect
from tesseract.backends.refusals import engine_error
from tesseract.backends.spec import ContainerInfo, ImageInfo, Mount
from tesseract.backends.text import memory_bytes
from tesseract.serving import plan, ports, volumes

pytestmark = pytest.mark.fast

TEXT = st.text() | st.text(":/.~,\0\\ rwoz0a\n", max_size=20)
NUMERIC = st.text() | st.from_regex(r"[0-9.:bkmg \-]{0,12}") | st.integers(min_value=0).map(str)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(TEXT)
def test_volumes(text: str) -> None:
    try:
        mount = volumes.parse_volume(text)
        volumes.check_unique([mount])
        volumes.check_sources([mount])
    except errors.InvalidValue:
        return
    assert isinstance(mount, Mount)


@pytest.mark.parametrize("spec", ["a\0:/b", "/a:/b\0", "~\0:/b", "/a:/b:\0", "a\udcff:/b", "\0"])
def test_names_that_nothing_can_have(spec: str) -> None:
    with pytest.raises(errors.InvalidValue, match="no path and no volume has such a name"):
        volumes.parse_volume(spec)


@given(NUMERIC)
def test_ports_memory_and_users(text: str) -> None:
    for parse in (ports.parse_port, memory_bytes, lambda user: plan.parse_user(user, 1, 1)):
        try:
            parse(text)
        except errors.InvalidValue:
            pass


@pytest.mark.parametrize("text", ["9" * 5000, "9" * 400, "9" * 400 + "m", "1_000", "８０００", "٣m"])
def test_numbers_that_are_none(text: str) -> None:
    for parse in (ports.parse_port, memory_bytes, lambda user: plan.parse_user(user, 1, 1)):
        with pytest.raises(errors.InvalidValue):
            parse(text)


def is_read(name: str, text: str) -> bool:
    try:
        spec = cdi.parse_spec(Path(name), text)
    except ValueError:
        return False
    assert all(isinstance(node, str) for nodes in spec.nodes.values() for node in nodes)
    return True


EDITS = st.fixed_dictionaries(
    {},
    optional={
        "kind": JSON | st.just("a.b/c"),
        "containerEdits": JSON | st.fixed_dictionaries({"deviceNodes": JSON}),
        "devices": JSON | st.lists(st.fixed_dictionaries({"name": JSON, "containerEdits": JSON}), max_size=2),
    },
)


@given(JSON | EDITS)
def test_cdi_documents(document: Any) -> None:
    is_read("x.json", json.dumps(document))
    is_read("x.yaml", json.dumps(document))


@given(st.text() | st.text("[]{}:,-&*!|>?'\"# \n\tab0.", max_size=40))
def test_cdi_texts(text: str) -> None:
    is_read("x.json", text)
    is_read("x.yaml", text)


BAD_YAML = ["!!int ''", "kind: !!timestamp x", "[" * 5000, "{" * 5000, "? [a]\n: b", "\x00", "!!binary é"]


@pytest.mark.parametrize("text", BAD_YAML)
def test_yaml_that_its_parser_stumbles_over(text: str) -> None:
    assert not is_read("x.yaml", text)


CONTAINER_KEYS = ("Id", "Name", "Config", "State", "NetworkSettings", "HostConfig", "Image", "ImageName")
CONFIG_KEYS = ("Env", "Labels", "Cmd", "Image", "Entrypoint", "Status", "ExitCode", "Ports", "Networks", "ShmSize")
INNER = JSON | st.dictionaries(st.sampled_from(CONFIG_KEYS), JSON, max_size=5)
DOCUMENTS = JSON | st.dictionaries(st.sampled_from((*CONTAINER_KEYS, "RepoTags", "Size", "Labels")), INNER, max_size=8)


@given(DOCUMENTS)
def test_inspect_documents(document: Any) -> None:
    for read, kind in ((inspect.container_info, ContainerInfo), (inspect.image_info, ImageInfo)):
        try:
            assert isinstance(read(document), kind)
        except errors.APIError:
            continue


@given(st.text())
def test_whatever_an_engine_says(text: str) -> None:
    error = engine_error("Podman", text, 500)
    assert isinstance(error, errors.EngineError)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", str(error))
