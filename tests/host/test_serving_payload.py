"""Payload arguments: what goes inline, what becomes a file, and that temporary files are gone afterwards."""

from __future__ import annotations

import http.server
import io
import json
import os
import tempfile
import threading
from functools import partial
from pathlib import Path

import pytest

from tesseract.errors import InvalidValue, UserError
from tesseract.serving.payload import MAX_INLINE_BYTES, staged
from tesseract.transfer.remote import TransferError

pytestmark = pytest.mark.fast


def test_json_text_and_options_pass_through(tmp_path: Path) -> None:
    args = ["--seed=42", '{"inputs": {}}']
    with staged(args, tmp_path) as payload:
        assert payload.args == tuple(args)
        assert payload.mounts == ()


def test_files_are_mounted_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "plain").write_text("{}")
    with staged(["@a.json", f"@@{tmp_path}/plain"], tmp_path) as payload:
        assert payload.args == ("@/tesseract/payload.json", "@/tesseract/payload_1")
        assert [mount.source for mount in payload.mounts] == [str(tmp_path / "a.json"), str(tmp_path / "plain")]
        assert all(mount.read_only for mount in payload.mounts)
        assert not payload.fetched
    assert (tmp_path / "a.json").exists()


def test_two_files_of_one_kind_get_targets_of_their_own(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    with staged(["@a.json", "@b.json"], tmp_path) as payload:
        assert len({mount.target for mount in payload.mounts}) == 2


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_not_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidValue, match=r"provided as input is not a file"), staged([f"@{name}"], tmp_path):
        pass


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InvalidValue, match="Path loop provided as input is not a file"), staged(["@loop"], tmp_path):
        pass
    (tmp_path / "closed").touch(mode=0)
    if os.access(tmp_path / "closed", os.R_OK):
        pytest.skip("root may read everything")
    with (
        pytest.raises(InvalidValue, match="Path closed provided as input may not be read"),
        staged(["@closed"], tmp_path),
    ):
        pass


def test_stdin_of_any_size(tmp_path: Path) -> None:
    text = json.dumps({"inputs": {"a": "x" * 3_000_000}}).encode()
    with staged(["-"], tmp_path, stdin=io.BytesIO(text)) as payload:
        source = Path(payload.mounts[0].source)
        assert source.read_bytes() == text
        assert payload.args == (f"@{payload.mounts[0].target}",)
    assert not source.parent.exists()


def test_long_text_does_not_stay_in_argv(tmp_path: Path) -> None:
    with staged(["[" + "1," * MAX_INLINE_BYTES + "1]"], tmp_path) as payload:
        assert max(map(len, payload.args)) < 100
        source = Path(payload.mounts[0].source)
    assert not source.exists()


def test_url_is_read_on_the_host(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"inputs": {"n": 1}}')
    handler = partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with staged([f"@{url}/p.json"], tmp_path) as payload:
            assert Path(payload.mounts[0].source).read_text() == '{"inputs": {"n": 1}}'
            assert payload.args == ("@/tesseract/payload.json",)
            assert payload.fetched
        with (
            pytest.raises(TransferError, match=r"none.json. cannot be read: it does not exist"),
            staged([f"@{url}/none.json"], tmp_path),
        ):
            pass
        server.shutdown()


def test_no_room_for_what_is_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="TMPDIR"), staged(["-"], tmp_path, stdin=io.BytesIO(b"{}")):
        pass


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...
