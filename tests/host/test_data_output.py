"""Output that belongs at a URL: collected here, uploaded once, never lost."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.stores import ftp_server, s3_bucket
from tesseract_core.client.transport import Transport

from tesseract.errors import InvalidValue, UserError
from tesseract.transfer.output import Output, outputs_dir
from tesseract.transfer.remote import TransferError
from tesseract.uploading import UploadingTransport


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with s3_bucket("out") as fs:
        yield fs


def write(output: Output, **files: str) -> None:
    for name, text in files.items():
        path = output.directory / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def leftovers() -> list[str]:
    return sorted(path.name for path in outputs_dir().iterdir())


def test_all_of_it_is_uploaded_and_the_local_copy_goes(s3: Any) -> None:
    output = Output.make("s3://out/all")
    write(output, result="{}", logs__log="hello")
    output.finish()
    assert sorted(s3.find("out/all")) == ["out/all/logs/log", "out/all/result"]
    assert leftovers() == []


def test_nothing_is_sent_twice_whoever_goes_on(s3: Any) -> None:
    output = Output.make("s3://out/once")
    write(output, run_1__log="one", run_2__log="two")
    output.upload("run_1")
    assert s3.find("out/once") == ["out/once/run_1/log"]
    s3.rm("out/once/run_1/log")  # it would come back if it was sent again
    again = Output.at(output.directory)
    assert again is not None
    again.finish()
    assert s3.find("out/once") == ["out/once/run_2/log"]
    assert Output.at(output.directory) is None


def test_a_file_that_changed_is_sent_again(s3: Any) -> None:
    output = Output.make("s3://out/changed")
    write(output, log="short")
    output.upload()
    write(output, log="longer than before")
    output.finish()
    assert s3.cat("out/changed/log") == b"longer than before"


def test_a_failed_upload_loses_nothing_and_can_go_on(s3: Any, tmp_path: Path) -> None:
    output = Output.make("s3://gone/x")
    write(output, a="1", b="2")
    with pytest.raises(TransferError, match="Nothing is lost") as caught:
        output.finish()
    assert str(output.directory) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in output.directory.iterdir()) == ["a", "b"]
    s3.mkdir("gone")
    output.finish()
    assert sorted(s3.find("gone/x")) == ["gone/x/a", "gone/x/b"]


def test_a_bucket_that_goes_half_way(s3: Any) -> None:
    s3.mkdir("fleeting")
    output = Output.make("s3://fleeting/x")
    write(output, a="1")
    output.upload()
    s3.rm("fleeting", recursive=True)
    write(output, b="2")
    with pytest.raises(TransferError, match="does not exist"):
        output.finish()
    assert (output.directory / "b").read_text() == "2"


def test_credentials_of_the_url_are_for_the_owner_only(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with ftp_server(tmp_path / "store") as url:
        output = Output.make(f"{url}/deep")
        assert "secret" not in output.shown_url
        holders = [path for path in outputs_dir().rglob("*") if path.is_file() and "secret" in path.read_text()]
        assert [path.stat().st_mode & 0o777 for path in holders] == [0o600]
        assert outputs_dir().stat().st_mode & 0o777 == 0o700
        write(output, logs__log="hello")
        output.finish()
    assert (tmp_path / "store/deep/logs/log").read_text() == "hello"


def test_refused_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with ftp_server(tmp_path / "store") as url, pytest.raises(TransferError, match="530") as caught:
        Output.make(url.replace("secret", "hunter2"))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(InvalidValue, match="nonsense"):
        Output.make("nonsense://x")


@pytest.mark.parametrize("url", ["https://host/x?signature=hunter2", "HTTP://host/x", "memory://x"])
def test_what_takes_no_output(url: str) -> None:
    with pytest.raises(InvalidValue, match="cannot take output") as caught:
        Output.make(url)
    assert "hunter2" not in str(caught.value)
    assert not outputs_dir().exists()


def test_one_file_that_cannot_be_sent_keeps_no_other_from_it(s3: Any) -> None:
    output = Output.make("s3://out/odd")
    write(output, zlast="z")
    (output.directory / os.fsdecode(b"bad\xff")).write_text("x")
    with pytest.raises(TransferError, match="not UTF-8"):
        output.finish()
    assert s3.find("out/odd") == ["out/odd/zlast"]
    assert (output.directory / "zlast").exists()


def test_a_record_that_was_cut_short(s3: Any) -> None:
    output = Output.make("s3://out/torn")
    write(output, a="1", b="2")
    output.upload()
    record = output.directory.with_suffix(".uploads")
    record.write_text(record.read_text()[:-8])
    again = Output.at(output.directory)
    assert again is not None
    assert list(again.waiting()) == ["b"]
    again.finish()
    assert leftovers() == []


def test_lines_of_a_record_that_are_none_are_passed_over(s3: Any) -> None:
    output = Output.make("s3://out/odd-lines")
    write(output, a="1", b="2")
    output.upload()
    record = output.directory.with_suffix(".uploads")
    url, *sent = record.read_bytes().splitlines(keepends=True)
    odd = [b"9\n", b"[]\n", b'["a", "b", "c"]\n', b"null\n", b"\xff\n", b"[" * 100_000 + b"\n", b"\n"]
    record.write_bytes(b"".join([url, *odd, *sent, *odd]))
    (found,) = Output.all()
    assert found.waiting() == {}
    found.finish()


@pytest.mark.parametrize("content", [b"", b"5\n", b"[]\n9\n", b"\xff\n", None])
def test_a_damaged_record_is_named_and_hides_no_other(
    s3: Any, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    damaged, other = Output.make("s3://out/damaged"), Output.make("s3://out/other")
    record = damaged.directory.with_suffix(".uploads")
    if content is None:
        record.unlink()
        os.mkfifo(record)
    else:
        record.write_bytes(content)
    assert [item.directory for item in Output.all()] == [other.directory]
    assert f"{record} is damaged" in caplog.text
    assert damaged.directory.is_dir()


def test_output_that_was_left_behind_is_found(s3: Any) -> None:
    output = Output.make("s3://out/left")
    write(output, log="hello")
    (found,) = Output.all()
    assert (found.directory, found.is_held()) == (output.directory, True)
    gone = Output.make("s3://out/gone")
    gone.directory.rmdir()
    assert [item.directory for item in Output.all()] == [output.directory], "deleted by its owner"
    assert leftovers() == [output.directory.name, f"{output.directory.name}.uploads"]


def test_no_link_is_followed_and_what_is_left_out_is_said(
    s3: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run_x").mkdir()
    (tmp_path / "run_x/private").write_text("key")
    output = Output.make("s3://out/links")
    write(output, log="hello")
    (output.directory / "stolen").symlink_to(tmp_path / "run_x/private")
    (output.directory / "run_x").symlink_to(tmp_path / "run_x")
    (output.directory / "latest").symlink_to("log")
    (output.directory / "\x1b[31m").symlink_to("/dev/zero")
    os.mkfifo(output.directory / "pipe")
    output.upload("run_x")
    assert s3.find("out/links") == []
    output.finish()
    assert s3.find("out/links") == ["out/links/log"]
    said = next(message for message in caplog.messages if "stolen" in message)
    for left_out in ("stolen (a symbolic link)", "latest (a symbolic link)", "pipe (a named pipe)", r"\x1b[31m"):
        assert left_out in said
    assert "\x1b" not in said
    assert (tmp_path / "run_x/private").exists()


def test_a_file_that_becomes_a_link_while_it_is_sent(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "private").write_text("key")
    output = Output.make("s3://out/race")
    write(output, log="hello", more="world")
    put_file = type(s3)._put_file

    async def exchanged(fs: Any, path: str, target: str, **options: Any) -> None:
        for file in output.directory.iterdir():  # as a container could, after our look and before the store's
            file.unlink()
            file.symlink_to(tmp_path / "private")
        await put_file(fs, path, target, **options)

    monkeypatch.setattr(type(s3), "_put_file", exchanged)
    output.upload()
    assert {name: s3.cat(name) for name in s3.find("out/race")} == {"out/race/log": b"hello", "out/race/more": b"world"}


def test_the_kind_of_a_file_arrives(s3: Any) -> None:
    output = Output.make("s3://out/kinds")
    (output.directory / "result.json").write_text("{}")
    output.finish()
    assert s3.info("out/kinds/result.json")["ContentType"] == "application/json"


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_directory_that_cannot_be_read_is_not_lost(s3: Any) -> None:
    output = Output.make("s3://out/closed")
    write(output, log="hello", closed__result="{}")
    (output.directory / "closed").chmod(0)
    with pytest.raises(TransferError, match=r"closed \(Permission denied\).*Nothing is lost"):
        output.finish()
    (output.directory / "closed").chmod(0o700)
    output.finish()
    assert s3.find("out/closed") == ["out/closed/closed/result", "out/closed/log"]
    assert leftovers() == []


def test_a_failure_before_there_is_output_leaves_nothing() -> None:
    Output.make("s3://out/never").give_up()
    assert leftovers() == []


def test_a_failure_afterwards_says_where_the_output_is(caplog: pytest.LogCaptureFixture) -> None:
    output = Output.make("s3://out/never")
    write(output, log="hello")
    output.give_up()
    output.give_up()
    assert caplog.text.count(str(output.directory)) == 1
    assert (output.directory / "log").exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_no_place_for_the_output(state: Path) -> None:
    state.mkdir(mode=0o500)
    with pytest.raises(UserError, match="XDG_STATE_HOME"):
        Output.make("s3://out/x")


class Server(Transport):
    """Writes the directory of a run, as a server does, and answers with its id."""

    negotiates = True

    def __init__(self, output: Output) -> None:
        self.output = output

    def call(self, endpoint: str, payload: Any = None, **options: Any) -> Any:
        if run_id := options.get("run_id"):
            write(self.output, **{f"run_{run_id}__log": json.dumps(payload)})
        if payload == "fail":
            raise RuntimeError("failed")
        return run_id

    def openapi_schema(self) -> dict[str, Any]:
        return {}


def test_each_call_uploads_its_run(s3: Any) -> None:
    output = Output.make("s3://out/calls")
    write(output, run_other__log="of somebody else")
    transport = UploadingTransport(Server(output), output)
    assert transport.call("apply", {}, run_id="mine") == "mine"
    chosen = transport.call("apply", {})
    with pytest.raises(RuntimeError, match="failed"):
        transport.call("jacobian", "fail", run_id="bad")
    transport.call("health")
    assert sorted(s3.find("out/calls")) == sorted(f"out/calls/run_{name}/log" for name in ("mine", chosen, "bad"))


def test_a_result_is_not_lost_because_of_its_upload() -> None:
    output = Output.make("s3://no-such-bucket/x")
    transport = UploadingTransport(Server(output), output)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert transport.call("apply", {}, run_id="mine") == "mine"
    assert any("Nothing is lost" in str(warning.message) for warning in caught)
    with pytest.raises(TransferError):
        output.finish()
