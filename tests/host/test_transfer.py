"""Fetching input from URLs and uploading output to them, against real servers."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.stores import Quiet, ftp_server, http_server, s3_server

from tesseract.errors import InvalidValue, UserError
from tesseract.transfer import download as downloading
from tesseract.transfer.cache import clear, entries, evict, manifest_of, mark_of
from tesseract.transfer.fetch import fetch
from tesseract.transfer.remote import TransferError, is_url, open_url, without_credentials
from tesseract.transfer.upload import upload


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A bucket with two objects; fsspec finds it by the environment alone."""
    with s3_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("FSSPEC_S3_ENDPOINT_URL", endpoint)
        import fsspec.config

        fsspec.config.set_conf_env(fsspec.config.conf)
        fs, _ = open_url("s3://data")
        fs.mkdir("data")
        fs.pipe_file("data/set/a.json", b"[1, 2]")
        fs.pipe_file("data/set/deep/b.json", b"[3]")
        yield "s3://data"
        fsspec.config.conf.pop("s3", None)


def _tree(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_an_s3_prefix_becomes_a_directory(s3: str, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    entry = fetch(f"{s3}/set", lambda *args: seen.append(args), cache=tmp_path)
    assert _tree(entry) == {"a.json": b"[1, 2]", "deep/b.json": b"[3]"}
    assert seen[-1][1:] == (9, 9)


def test_what_did_not_change_is_not_fetched_again(s3: str, tmp_path: Path) -> None:
    fs, _ = open_url(s3)
    fs.pipe_file("data/grow/a", b"one")
    first = fetch(f"{s3}/grow", cache=tmp_path)
    assert fetch(f"{s3}/grow", cache=tmp_path) == first
    fs.pipe_file("data/grow/b", b"two")
    fs.invalidate_cache()
    second = fetch(f"{s3}/grow", cache=tmp_path)
    assert _tree(first) == {"a": b"one"}, "a snapshot that a container may have mounted never changes"
    assert _tree(second) == {"a": b"one", "b": b"two"}
    assert (first / "a").stat().st_ino == (second / "a").stat().st_ino


def test_an_interrupted_fetch_is_resumed(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fs, _ = open_url(s3)
    fs.pipe_file("data/big/blob", bytes(range(256)) * 4000)
    monkeypatch.setattr(downloading, "_CHUNK", 100_000)

    def lose_connection(name: str, done: int, total: int | None) -> None:
        if done >= 300_000:
            raise ConnectionResetError("gone")

    with pytest.raises(TransferError, match="run the command again"):
        fetch(f"{s3}/big", lose_connection, cache=tmp_path)
    seen: list[int] = []
    entry = fetch(f"{s3}/big", lambda name, done, total: seen.append(done), cache=tmp_path)
    assert seen[0] == 300_000, "goes on where it stopped"
    assert _tree(entry) == {"blob": bytes(range(256)) * 4000}


def test_folders_made_in_a_console_are_no_files(s3: str, tmp_path: Path) -> None:
    fs, _ = open_url(s3)
    for key in ("folder/", "folder/deep/", "hollow/"):
        fs.call_s3("put_object", Bucket="data", Key=key, Body=b"")
    fs.pipe_file("data/folder/deep/x", b"x")
    assert _tree(fetch(f"{s3}/folder", cache=tmp_path)) == {"deep/x": b"x"}
    with pytest.raises(TransferError, match="nothing at"):
        fetch(f"{s3}/hollow", cache=tmp_path)


def test_names_that_buckets_can_have(s3: str, tmp_path: Path) -> None:
    fs, _ = open_url(s3)
    names = ["a b", "größe", "-dash", "50%25", "a?b", "a#b", "deep/" + "n" * 255]
    for name in names:
        fs.call_s3("put_object", Bucket="data", Key=f"names/{name}", Body=name.encode())
    assert _tree(fetch(f"{s3}/names", cache=tmp_path)) == {name: name.encode() for name in sorted(names)}


@pytest.mark.parametrize(
    ("keys", "said"),
    [(["clash/x", "clash/x/y"], "'x' is a file and a directory"), (["up/../x"], r"unsafe name '\.\./x'")],
)
def test_names_that_no_directory_can_have(s3: str, tmp_path: Path, keys: list[str], said: str) -> None:
    fs, _ = open_url(s3)
    for key in keys:
        fs.call_s3("put_object", Bucket="data", Key=key, Body=b"1")
    with pytest.raises(TransferError, match=said):
        fetch(f"{s3}/{keys[0].partition('/')[0]}", cache=tmp_path)


def test_many_small_files(s3: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(70):
        (source / f"{number:03}").write_text(str(number))
    sent: list[str] = []
    upload(source, f"{s3}/many", on_sent=lambda name, _: sent.append(name))
    assert sorted(sent) == sorted(path.name for path in source.iterdir())
    seen: list[int] = []
    entry = fetch(f"{s3}/many", lambda name, done, total: seen.append(done), cache=tmp_path / "cache")
    assert _tree(entry) == _tree(source)
    assert seen == sorted(seen)


@pytest.mark.parametrize("path", ["/nothing", "/set/missing.json"])
def test_nothing_there_is_one_line(s3: str, path: str, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"nothing at|does not exist"):
        fetch(s3 + path, cache=tmp_path)


def test_no_such_bucket(s3: str, tmp_path: Path) -> None:
    with pytest.raises(TransferError) as caught:
        fetch("s3://no-such-bucket/x", cache=tmp_path)
    assert "\n" not in str(caught.value)


def test_unknown_scheme(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="nonsense"):
        fetch("nonsense://x/y", cache=tmp_path)


def test_http_and_ftp(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "x.txt").write_text("x")
    (source / "sub" / "y.txt").write_text("y")
    with http_server(source) as url:
        assert _tree(fetch(f"{url}/x.txt", cache=tmp_path / "cache")) == {"x.txt": b"x"}
    with ftp_server(source) as url:
        assert _tree(fetch(f"{url}/", cache=tmp_path / "cache")) == {"x.txt": b"x", "sub/y.txt": b"y"}


def test_upload_to_s3_and_ftp(s3: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "logs").mkdir(parents=True)
    (out / "logs" / "tesseract.log").write_text("hello\n")
    (out / "result.json").write_text("{}")
    upload(out, f"{s3}/results/run_1")
    fs, _ = open_url(s3)
    fs.invalidate_cache()
    assert sorted(fs.find("data/results")) == [
        "data/results/run_1/logs/tesseract.log",
        "data/results/run_1/result.json",
    ]
    store = tmp_path / "store"
    store.mkdir()
    with ftp_server(store) as url:
        upload(out, f"{url}/deep/down")
    assert _tree(store) == {"deep/down/logs/tesseract.log": b"hello\n", "deep/down/result.json": b"{}"}


def test_a_failed_upload_says_where_the_files_are(s3: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(TransferError, match="Nothing is lost") as caught:
        upload(tmp_path, "s3://no-such-bucket/x")
    assert str(tmp_path) in str(caught.value)
    assert (tmp_path / "result.json").exists()


def test_the_cache_keeps_within_its_limit(s3: str, tmp_path: Path) -> None:
    fs, _ = open_url(s3)
    for name in ("old", "new"):
        fs.pipe_file(f"data/{name}/blob", bytes(1000))
    old, new = (fetch(f"{s3}/{name}", cache=tmp_path) for name in ("old", "new"))
    os.utime(mark_of(old), (0, 0))
    evict(tmp_path, lambda: {old}, limit=1500)
    assert old.exists(), "a container has it mounted"
    evict(tmp_path, limit=1500)
    assert not old.exists()
    assert new.exists()


def test_what_an_interrupted_fetch_has_left_counts_and_goes(s3: str, tmp_path: Path) -> None:
    fs, _ = open_url(s3)
    fs.pipe_file("data/partial/blob", bytes(3_000_000))

    def lose_connection(name: str, done: int, total: int | None) -> None:
        if done >= 2_000_000:
            raise ConnectionResetError("gone")

    with pytest.raises(TransferError):
        fetch(f"{s3}/partial", lose_connection, cache=tmp_path)
    (entry,) = entries(tmp_path)
    assert not entry.complete
    assert entry.size > 2_000_000
    evict(tmp_path, limit=1)
    assert entries(tmp_path) == [entry], "it may be taken up again soon"
    for path in [entry.path, *tmp_path.rglob("*.parts"), *tmp_path.rglob("*.parts/*")]:
        os.utime(path, (0, 0))
    evict(tmp_path, limit=1)
    assert entries(tmp_path) == []
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1000


def test_room_is_made_before_a_fetch(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fs, _ = open_url(s3)
    for name in ("earlier", "later"):
        fs.pipe_file(f"data/{name}/blob", bytes(1000))
    earlier = fetch(f"{s3}/earlier", cache=tmp_path)
    os.utime(mark_of(earlier), (0, 0))
    monkeypatch.setenv("TESSERACT_CACHE_LIMIT", "1500")
    there: list[bool] = []
    fetch(f"{s3}/later", lambda *_: there.append(earlier.exists()), cache=tmp_path)
    assert there[0] is False


FETCH = """
import sys
from pathlib import Path
from tesseract.transfer.fetch import fetch
print("started", flush=True)
print(fetch(sys.argv[1], lambda name, done, total: print(done, flush=True), cache=Path(sys.argv[2])), flush=True)
"""


def test_a_killed_fetch_is_taken_up(s3: str, tmp_path: Path) -> None:
    fs, _ = open_url(s3)
    fs.pipe_file("data/killed/blob", bytes(range(256)) * 100_000)
    command = [sys.executable, "-c", FETCH, f"{s3}/killed", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        while not (line := program.stdout.readline().strip()).isdigit() or int(line) < 2_000_000:
            assert line
        program.kill()
    seen: list[int] = []
    entry = fetch(f"{s3}/killed", lambda name, done, total: seen.append(done), cache=tmp_path)
    assert seen[0] >= 1_000_000
    assert _tree(entry) == {"blob": bytes(range(256)) * 100_000}


def test_two_commands_that_want_the_same_fetch_it_once(s3: str, tmp_path: Path) -> None:
    fs, _ = open_url(s3)
    fs.pipe_file("data/twice/blob", bytes(20_000_000))
    command = [sys.executable, "-c", FETCH, f"{s3}/twice", str(tmp_path)]
    programs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [program.communicate(timeout=60)[0].splitlines() for program in programs]
    assert said[0][-1] == said[1][-1]
    assert sorted(len(lines) > 2 for lines in said) == [False, True], "one fetched, the other waited"


def test_the_cache_can_be_looked_at_and_cleared(s3: str, tmp_path: Path) -> None:
    fs, _ = open_url(s3)
    fs.pipe_file("data/seen/blob", bytes(1000))
    path = fetch(f"{s3}/seen", cache=tmp_path)
    (entry,) = entries(tmp_path)
    assert (entry.url, entry.path, entry.size, entry.complete) == (f"{s3}/seen", path, 1000, True)
    assert clear(tmp_path) >= 1000
    assert entries(tmp_path) == []


def test_damaged_files_of_the_cache_are_named_and_passed_over(
    s3: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fs, _ = open_url(s3)
    fs.pipe_file("data/damaged/a", b"one")
    entry = fetch(f"{s3}/damaged", cache=tmp_path)
    fs.pipe_file("data/damaged/b", b"two")
    for number, content in enumerate((b"5", b"[1]", b"\xff", b"[" * 100_000)):
        manifest_of(entry).write_bytes(content)
        fs.pipe_file(f"data/damaged/{number}", b"more")
        fetched = fetch(f"{s3}/damaged", cache=tmp_path)
        assert (fetched / "a").read_bytes() == b"one"
        assert f"{manifest_of(entry)} is damaged" in caplog.text
        caplog.clear()
        shutil.rmtree(fetched)
        mark_of(fetched).unlink()
    (entry.parent / "url").write_bytes(b"\xff")
    mark_of(entry).write_text("-5")
    (tmp_path / "5").write_text("5")
    (found,) = entries(tmp_path)
    assert (found.url, found.size) == ("", 3)
    assert f"{entry.parent / 'url'} is damaged" in caplog.text
    evict(tmp_path, limit=0)


def test_a_snapshot_that_was_deleted_by_hand_is_fetched_again(s3: str, tmp_path: Path) -> None:
    entry = fetch(f"{s3}/set", cache=tmp_path)
    shutil.rmtree(entry)
    assert _tree(fetch(f"{s3}/set", cache=tmp_path)) == {"a.json": b"[1, 2]", "deep/b.json": b"[3]"}


def test_what_is_neither_file_nor_directory_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/file").write_text("x")
    (tmp_path / "data/deep/dangling").symlink_to("../.git/annex/objects/x")
    os.mkfifo(tmp_path / "data/pipe")
    entry = fetch(f"file://{tmp_path}/data", cache=tmp_path / "cache")
    assert _tree(entry) == {"file": b"x"}
    assert "Left out, as neither file nor directory" in caplog.text
    assert "deep/dangling" in caplog.text
    assert "pipe" in caplog.text


def test_a_server_that_tells_no_version_is_always_asked_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()

    class Versionless(Quiet):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(source))

        def send_header(self, keyword: str, value: str) -> None:
            if keyword != "Last-Modified":
                super().send_header(keyword, value)

    with http_server(source, Versionless) as url:
        for text in ("one", "two"):
            (source / "x").write_text(text)
            assert _tree(fetch(f"{url}/x", cache=tmp_path / "cache")) == {"x": text.encode()}


def test_a_bucket_that_goes_half_way(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "_SMALL", 0)  # one after the other
    fs, _ = open_url(s3)
    fs.mkdir("fleeting")
    for name in "ab":
        fs.pipe_file(f"fleeting/set/{name}", name.encode())

    def disappear(name: str, done: int, total: int | None) -> None:
        if name == "a" and done and fs.exists("fleeting"):
            fs.rm("fleeting", recursive=True)

    with pytest.raises(
        TransferError, match="'b' of 's3://fleeting/set' could not be fetched: it does not exist"
    ) as caught:
        fetch("s3://fleeting/set", disappear, cache=tmp_path)
    assert "\n" not in str(caught.value)
    assert [entry.complete for entry in entries(tmp_path)] == [False]


# A limit on the size of files behaves as a full disk does: writing fails in the middle.
FULL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from pathlib import Path
from tesseract.errors import UserError
from tesseract.transfer.fetch import fetch
try:
    fetch(sys.argv[1], cache=Path(sys.argv[2]))
except UserError as error:
    print(error)
"""


def test_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/blob").write_bytes(bytes(20_000_000))  # the server knows no ranges
    with http_server(tmp_path / "source") as url:
        command = [sys.executable, "-c", FULL_DISK, f"{url}/blob", str(tmp_path / "cache")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert f"The cache {tmp_path / 'cache'} cannot be written: File too large" in done.stdout
        entry = fetch(f"{url}/blob", cache=tmp_path / "cache")
    assert (entry / "blob").stat().st_size == 20_000_000, "later, with more room"


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/x").write_text("x")
    (tmp_path / "cache").write_text("a file where the directory belongs")
    with http_server(tmp_path / "source") as url, pytest.raises(UserError, match="XDG_CACHE_HOME"):
        fetch(f"{url}/x", cache=tmp_path / "cache")


@pytest.mark.parametrize("status", [403, 500])
def test_an_http_server_that_refuses(tmp_path: Path, status: int) -> None:
    class Refusing(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_error(status)

        do_HEAD = do_GET  # noqa: N815 - the server's word

    said = "access denied" if status == 403 else "500"
    with http_server(tmp_path, Refusing) as url, pytest.raises(TransferError, match=said) as caught:
        fetch(f"{url}/x?signature=hunter2", cache=tmp_path / "cache")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://ann:secret@host/dir", "ftp://host/dir"),
        ("https://host/file?X-Amz-Signature=abc", "https://host/file"),
        ("s3://bucket/a b", "s3://bucket/a b"),
    ],
)
def test_credentials_are_never_printed(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


def test_what_is_a_url() -> None:
    assert is_url("s3://x")
    assert not is_url("C://x")
    assert not is_url("./a/b")
