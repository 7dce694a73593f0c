"""No path and no run id leads out of its directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tesseract_core.runtime.paths import confine, safe_run_id

pytestmark = pytest.mark.fast


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file").write_text("x")
    (root / "inside").symlink_to("sub/file")
    (root / "outside").symlink_to("../secret")
    (root / "folder_outside").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    (tmp_path / "secret").write_text("s")
    (tmp_path / "root_2").mkdir()
    return root


@pytest.mark.parametrize("path", ["sub/file", "inside", "sub/../sub/file", "./sub//file"])
def test_inside(root: Path, path: str) -> None:
    assert confine(path, root) == (root / "sub" / "file").resolve()


def test_the_root_itself_an_absolute_path_and_a_missing_file_are_inside(root: Path) -> None:
    assert confine(".", root) == root.resolve()
    assert confine(root / "sub", root) == (root / "sub").resolve()
    assert confine("new/file", root) == root.resolve() / "new" / "file"


@pytest.mark.parametrize(
    "path", ["..", "../secret", "sub/../../secret", "/etc/passwd", "outside", "folder_outside/secret", "../root_2/x"]
)
def test_outside(root: Path, path: str) -> None:
    with pytest.raises(ValueError, match="outside of its directory") as caught:
        confine(path, root, what="input path")
    assert str(caught.value).startswith(f"input path {path!r}")
    assert str(root) not in str(caught.value), "a client learns nothing about the server's directories"


def test_malformed_paths_are_value_errors(root: Path) -> None:
    with pytest.raises(ValueError, match="not a valid path"):
        confine("a\0b", root)
    confine("loop", root)  # a loop leads nowhere: opening it fails


def test_a_root_that_is_a_symbolic_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert confine("sub/file", tmp_path / "link") == (root / "sub" / "file").resolve()
    assert confine(root / "sub", tmp_path / "link") == (root / "sub").resolve()


def test_everything_is_below_the_root_of_the_file_system() -> None:
    assert confine("etc", "/") == Path("/etc").resolve()


@given(st.text(max_size=40))
def test_any_text_stays_inside_or_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    try:
        resolved = confine(text, root)
    except ValueError:
        return
    assert resolved.is_relative_to(root.resolve())


@pytest.mark.parametrize("text", ["a", "2026-11-23T08.34", "A_b-c.9", "..a", "x" * 128])
def test_run_ids(text: str) -> None:
    assert safe_run_id(text) == text


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a/b", "../a", "/a", "a\\b", "a b", "a\n", "ä", "a\0", "x" * 129, "a:b", "%2e%2e", "~"]
)
def test_unsafe_run_ids(text: str) -> None:
    with pytest.raises(ValueError, match="run id"):
        safe_run_id(text)
