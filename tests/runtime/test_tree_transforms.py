"""Paths into trees."""

from __future__ import annotations

import threading
from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict
from tesseract_core.runtime import ShapeDType
from tesseract_core.runtime.tree_transforms import (
    LRUCache,
    escape_dict_key,
    filter_func,
    flatten_with_paths,
    get_at_path,
    is_arraylike,
    path_to_index_op,
    set_at_path,
    split_path,
    unescape_dict_key,
)

pytestmark = pytest.mark.fast

Pair = namedtuple("Pair", "a b")


class Part(BaseModel):
    model_config = ConfigDict(frozen=True)
    x: int


class Tree(BaseModel):
    parts: list[Part]
    table: dict[str, int]
    n: int = 0


TREE = Tree(parts=[Part(x=1), Part(x=2)], table={"k.1": 3, "{": 4})
names = st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True)


@given(st.text(min_size=1))
def test_keys_survive_escaping(key: str) -> None:
    escaped = escape_dict_key(key)
    assert unescape_dict_key(escaped) == key
    assert split_path(f"a.{{{escaped}}}.b") == ["a", f"{{{escaped}}}", "b"]
    assert path_to_index_op(f"{{{escaped}}}") == ("dict", key)
    assert get_at_path({"a": {key: {"b": 1}}}, f"a.{{{escaped}}}.b") == 1


@given(
    st.lists(
        names
        | st.integers(0, 10**6).map("[{}]".format)
        | st.text(min_size=1).map(lambda k: f"{{{escape_dict_key(k)}}}"),
        min_size=1,
    )
)
def test_split_undoes_join(segments: list[str]) -> None:
    assert split_path(".".join(segments)) == segments


@pytest.mark.parametrize(
    ("path", "expected"),
    [("", TREE), ("n", 0), ("parts.[1].x", 2), ("table.{k.1}", 3), ("table.{\\{}", 4), ("parts.[0]", TREE.parts[0])],
)
def test_get(path: str, expected: Any) -> None:
    assert get_at_path(TREE, path) == expected


def test_mappings_have_keys_before_attributes() -> None:
    assert get_at_path({"items": 5}, "items") == 5
    assert get_at_path(SimpleNamespace(a=[1]), "a.[0]") == 1


def test_keys_that_are_no_text() -> None:
    assert get_at_path({1: "one"}, "{1}") == "one"
    assert set_at_path({1: "one"}, {"{1}": "two"}) == {1: "two"}


@pytest.mark.parametrize(
    ("path", "error"),
    [("parts.[2]", IndexError), ("table.{x}", KeyError), ("no", AttributeError), ("table.no", KeyError),
     ("parts.[-1]", ValueError), ("parts.[a]", ValueError), ("a b", ValueError),
     ("parts..x", ValueError), ("{a", ValueError), ("table.{}", ValueError)],
)  # fmt: skip
def test_get_what_is_not_there(path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        get_at_path(TREE, path)
    if error is ValueError:
        with pytest.raises(ValueError, match="Invalid path"):
            get_at_path(TREE, path)


@pytest.mark.parametrize(
    ("path", "key"), [("{k\\}", "k\\"), ("{k\\\\}", "k\\"), ("{a\\b}", "a\\b"), ("{\\}", "\\"), ("{a\\}.b}", "a}.b")]
)
def test_backslashes_in_keys(path: str, key: str) -> None:
    tree = {"t": {key: {"b": 1}}}
    assert get_at_path(tree, f"t.{path}.b") == 1
    assert get_at_path(tree, f"t.{path}") == {"b": 1}
    assert set_at_path(tree, {f"t.{path}.b": 2}) == {"t": {key: {"b": 2}}}
    assert path_to_index_op(path) == ("dict", key)


def test_set_copies_everything_but_the_new_values() -> None:
    new = np.zeros(2)
    tree = {"a": np.ones(2), "b": [np.ones(2)], "model": TREE}
    changed = set_at_path(tree, {"a": new, "model.parts.[0].x": 7, "model.table.{k.1}": 8})
    assert changed["a"] is new
    changed["b"][0][:] = 5
    changed["model"].table["{"] = 5
    assert tree["b"][0].tolist() == [1, 1]
    assert TREE.table == {"k.1": 3, "{": 4}
    assert (changed["model"].parts[0].x, changed["model"].table["k.1"]) == (7, 8)
    assert TREE.parts[0].x == 1
    assert isinstance(changed["model"], Tree)
    untouched = set_at_path(tree, {})
    untouched["a"][:] = 9
    assert tree["a"].tolist() == [1, 1]


def test_set_below_what_was_set() -> None:
    assert set_at_path({"a": 1}, {"a": {"b": 1, "c": 2}, "a.b": 3}) == {"a": {"b": 3, "c": 2}}


@pytest.mark.parametrize("tree", [(1, 2), [1, 2], Pair(1, 2)])
def test_set_keeps_the_kind_of_sequences(tree: Any) -> None:
    changed = set_at_path(tree, {"[1]": 5})
    assert type(changed) is type(tree)
    assert list(changed) == [1, 5]


def test_set_attributes_of_objects() -> None:
    tree = SimpleNamespace(a=1)
    assert set_at_path(tree, {"a": 2}).a == 2
    assert tree.a == 1
    with pytest.raises(AttributeError):
        set_at_path(tree, {"b": 2})
    assert set_at_path(tree, {"": 3}) == 3


def test_flatten() -> None:
    assert flatten_with_paths(TREE, ["n", "parts.[0].x"]) == {"n": 0, "parts.[0].x": 1}


class TestFilterFunc:
    def test_dict(self) -> None:
        func = filter_func(lambda tree: {"sum": tree.n + tree.parts[0].x}, TREE, output_paths=["sum"])
        assert func({"n": 10, "parts.[0].x": 5}) == {"sum": 15}
        assert func({}) == {"sum": 1}

    def test_positional(self) -> None:
        func = filter_func(lambda tree: tree.n, TREE, input_paths=["n"])
        assert func(3) == 3
        with pytest.raises(ValueError, match="Expected 1"):
            func(1, 2)

    def test_wrong_arguments(self) -> None:
        func = filter_func(lambda tree: tree, TREE)
        with pytest.raises(TypeError):
            func(3)
        with pytest.raises(ValueError):
            func()


def test_is_arraylike() -> None:
    assert all(map(is_arraylike, [np.zeros(2), np.float64(1), ShapeDType(shape=(), dtype="int8")]))
    assert not any(map(is_arraylike, [1.0, [1], None, "x"]))


class TestCache:
    def test_keeps_the_latest(self) -> None:
        cache = LRUCache(maxsize=2)
        cache.put("a", 1)
        cache.put("b", 2)
        assert cache.get("a") == 1
        cache.put("c", 3)
        assert (cache.get("a"), cache.get("b"), cache.get("c"), cache.size) == (1, None, 3, 2)

    def test_zero_keeps_nothing(self) -> None:
        cache = LRUCache(maxsize=0)
        cache.put("a", 1)
        assert (cache.get("a"), cache.size) == (None, 0)

    def test_threads(self) -> None:
        cache = LRUCache(maxsize=3)
        threads = [
            threading.Thread(target=lambda: [cache.put(i, i) or cache.get(i - 1) for i in range(500)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert cache.size == 3
