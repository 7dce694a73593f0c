"""When S3 refuses: whose credentials they were, what the server said, and how to go on."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec.config
import pytest
import s3fs
from support.stores import Quiet, http_server, s3_server

from tesseract.transfer.fetch import fetch
from tesseract.transfer.remote import TransferError
from tesseract.transfer.upload import upload

Refuse = Callable[[int, str, str], None]
SSO = """
[profile corp]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Dev
region = us-east-1
[sso-session corp]
sso_start_url = https://127.0.0.1:1/start
sso_region = us-east-1
"""


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No credentials anywhere, and none remembered."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
        monkeypatch.delenv(name)
    for variable, file in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        (tmp_path / file).touch()
        monkeypatch.setenv(variable, str(tmp_path / file))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def refusing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Refuse]:
    """An S3 server that refuses everything, with the status, code and message that the yielded function is given."""
    answer = [403, "AccessDenied", "Access Denied"]

    class Refusing(Quiet):
        def answer(self) -> None:
            body = f"<Error><Code>{answer[1]}</Code><Message>{answer[2]}</Message></Error>".encode()
            self.send_response(int(answer[0]))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = answer  # noqa: N815

    handler: type[http.server.BaseHTTPRequestHandler] = Refusing
    with http_server(tmp_path, handler) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield lambda *new: answer.__setitem__(slice(None), new)


def both_ways(tmp_path: Path) -> list[str]:
    """What a fetch and an upload say, each in one line."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("x")
    said = []
    for transfer in (lambda: fetch("s3://bucket/x", cache=tmp_path / "cache"), lambda: upload(source, "s3://bucket/x")):
        with pytest.raises(TransferError) as caught:
            transfer()
        said.append(str(caught.value))
    assert not any("\n" in line for line in said)
    return said


def test_a_token_that_has_expired(refusing: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(400, "ExpiredToken", "The provided token has expired.")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAHIDDENHIDDENWXYZ")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    for line in both_ways(tmp_path):
        assert "refuses the credentials from the environment (AWS_ACCESS_KEY_ID), key …WXYZ: " in line
        assert "The provided token has expired (ExpiredToken). To go on, renew them" in line
        assert "HIDDEN" not in line


def test_renewed_credentials_are_found_by_the_same_process(
    refusing: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for key in ("AAAA1111", "BBBB2222"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        with pytest.raises(TransferError, match=f"key …{key[-4:]}: "):
            fetch("s3://bucket/x", cache=tmp_path)


def test_a_profile_that_is_not_allowed(refusing: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(403, "AccessDenied", "ann is not authorized to perform: s3:ListBucket")
    (tmp_path / "credentials").write_text("[ann]\naws_access_key_id = ABCDEF12\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_PROFILE", "ann")
    for line in both_ways(tmp_path):
        assert "the credentials from ~/.aws/credentials (profile ann), key …EF12: ann is not authorized to" in line
        assert "(AccessDenied). To go on, check them" in line


def test_a_bucket_that_is_not_public(refusing: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fsspec.config.conf, "s3", {"anon": True})
    for line in both_ways(tmp_path):
        assert "refuses access without credentials: Access Denied (AccessDenied). Unset FSSPEC_S3_ANON" in line


def test_no_credentials(refusing: Refuse, tmp_path: Path) -> None:
    for line in both_ways(tmp_path):
        assert "Unable to locate credentials. To go on, set AWS_ACCESS_KEY_ID and" in line
        assert "for a public bucket, set FSSPEC_S3_ANON=true" in line


def test_a_profile_that_does_not_exist(refusing: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    for line in both_ways(tmp_path):
        assert "profile (nobody) could not be found. Correct AWS_PROFILE" in line


def test_sso_without_login_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(SSO)
    script = (
        "from tesseract.transfer.fetch import fetch\nfrom tesseract.errors import UserError\n"
        "try:\n    fetch('s3://bucket/x')\nexcept UserError as error:\n    print(error)\n"
    )
    environ = {**os.environ, "AWS_PROFILE": "corp", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    assert "Token for corp does not exist. Run `aws sso login --profile corp`" in done.stdout


def test_a_public_bucket_without_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as endpoint:
        fs = s3fs.S3FileSystem(key="key", secret="secret", endpoint_url=endpoint, skip_instance_cache=True)
        fs.mkdir("public")
        fs.pipe_file("public/x/file", b"hello", ACL="public-read")
        environ = {
            **os.environ,
            "AWS_ENDPOINT_URL": endpoint,
            "XDG_CACHE_HOME": str(tmp_path),
            "FSSPEC_S3_ANON": "true",
        }
        script = "from tesseract.transfer.fetch import fetch; print((fetch('s3://public/x') / 'file').read_text())"
        done = subprocess.run(
            [sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=60, check=True
        )
    assert (done.stdout, done.stderr) == ("hello\n", "")
