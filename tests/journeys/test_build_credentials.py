"""Dependencies from a host that wants a login and has a certificate of the house: `host_credentials`, `--secret`.

The index and the git repository are real servers on loopback, behind TLS, and answer nobody without the password.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support.builds import inside, traces, write_project
from support.images import remove_image
from support.private_host import PrivateHost, private_host
from support.repositories import write_repository

from tesseract.images import hostsettings
from tesseract.images.wheels import write_wheel

pytestmark = [
    pytest.mark.needs_engine("podman"),
    pytest.mark.needs("openssl", "git"),
    pytest.mark.usefixtures("shared_layers"),
]

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
# All that has a meaning somewhere on the way: in netrc, in URLs, in shells.
PASSWORD = """pa#ss "w\\or'd%41@:/+ $HOME"""
CONFIG = """
name: test-build-credentials
build_config:
  host_credentials: [{{host: "{host}", secret_id: house-token, username: "ann.b@example.org"}}]
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateHost]:
    """Offers the package `fromindex` in an index and `fromgit` in a repository."""
    folder, scratch = tmp_path_factory.mktemp("host"), tmp_path_factory.mktemp("scratch")
    (scratch / "fromindex").mkdir()
    (scratch / "fromindex/__init__.py").write_text("x = 1\n")
    page = folder / "simple/fromindex"
    page.mkdir(parents=True)
    wheel = write_wheel(page, "fromindex", "0.1", packages=[scratch / "fromindex"])
    (page / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    write_repository(folder, "fromgit")
    with private_host(folder, f"ann.b@example.org:{PASSWORD}", scratch) as host:
        yield host


@pytest.fixture(scope="module")
def cache() -> Iterator[Path]:
    """What builds fetch is kept here."""
    with tempfile.TemporaryDirectory(prefix="tt-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def environment(host: PrivateHost, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A user who trusts the house's certificate, and builds where loopback can be reached."""
    bundle = tmp_path_factory.mktemp("trust") / "bundle.pem"
    usual = hostsettings.read().bundle
    bundle.write_bytes(host.certificate.read_bytes() + (usual.read_bytes() if usual else b""))
    network = {"TESSERACT_DOCKER_BUILD_ARGS": "--network=host"}
    return {"SSL_CERT_FILE": str(bundle), "XDG_CACHE_HOME": str(cache), **network}


@pytest.fixture
def project(host: PrivateHost, tmp_path: Path) -> Path:
    requirements = f"--extra-index-url {host.url}/simple\nfromindex\nfromgit @ git+{host.url}/fromgit.git\n"
    return write_project(tmp_path / "project", CONFIG.format(host=host.address), requirements)


def test_login_for_index_and_repository(
    tesseract_cli: Cli,
    base_image: str,
    project: Path,
    host: PrivateHost,
    cache: Path,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    name, context = "test-build-credentials", tmp_path / "context"
    (tmp_path / "token").write_text(f"{PASSWORD}\nonly the first line counts\n")
    secret = f"id=house-token,src={tmp_path}/token"
    try:
        built = tesseract_cli(
            "build", "--secret", secret, "--build-dir", context, project, env=environment, timeout=900
        )
        assert built.returncode == 0, built.stderr
        assert inside(name, "python -c 'import fromindex, fromgit; print(fromindex.x + fromgit.x)'") == "2\n"
        assert any(path.endswith(".whl") for path in host.fetched)
        # The password, in any of its spellings, is nowhere: layers, history, context, cache of the build.
        assert any(cache.rglob("*.pack")) or any(cache.rglob("objects"))
        spellings = [PASSWORD, quote(PASSWORD, safe=""), quote(PASSWORD), "only the first line counts"]
        assert traces(name, spellings, context, cache) == []
        said = inside(name, "cat /run/secrets/* /run/credentials/* ~/.netrc ~/.git-credentials; true", "--user=0:0")
        assert said == ""
        assert inside(name, "ls -A /tmp; which git; env | grep -i -e netrc -e git_; true") == ""
    finally:
        remove_image(name)


def test_wrong_password(tesseract_cli: Cli, project: Path, environment: dict[str, str]) -> None:
    words = ["build", "--secret", "id=house-token,env=TOKEN", project]
    refused = tesseract_cli(*words, env={**environment, "TOKEN": "not-the-password"}, timeout=900)
    assert refused.returncode == 1
    assert "401" in refused.stderr or "credentials" in refused.stderr
    assert "not-the-password" not in refused.stderr


def test_missing_secret(tesseract_cli: Cli, project: Path) -> None:
    refused = tesseract_cli("build", project)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "not given: house-token. Add --secret id=house-token,env=VARIABLE" in refused.stderr
