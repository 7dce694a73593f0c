"""Settings of this host that build steps need behind a corporate network: CA bundle, package indexes.

They reach the steps as secrets (nothing of them is in a layer, in the context or in the cache key), below /run/secrets,
where our steps find them; build arguments point the tools of custom steps there. Not at the places where tools look by
themselves: Buildah 1.28 *deletes* a file over which a secret was mounted when the step ends, so a bundle mounted over
the image's own would vanish.
"""

from __future__ import annotations

import configparser
import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tesseract.backends.spec import BuildSecret

logger = logging.getLogger("tesseract")

_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")
_BUNDLE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CA, _PIP, _UV = "tesseract-ca", "tesseract-pip", "tesseract-uv"
MOUNT = "/run/secrets"

# What tools read, by secret. Build arguments are environment for the steps and no part of the image.
ARGUMENTS = {
    _CA: ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"),  # pip reads the second one
    _PIP: ("PIP_CONFIG_FILE",),
    _UV: ("UV_CONFIG_FILE",),
}


@dataclass(frozen=True)
class HostSettings:
    """What the host passes on to build steps.

    Attributes:
        bundle: CA bundle, or None.
        indexes: pip settings (`index-url`, `extra-index-url`, `find-links`, `trusted-host`) → values.
        python_mirror: Where uv fetches interpreters from, if not from its default place.
    """

    bundle: Path | None = None
    indexes: Mapping[str, tuple[str, ...]] | None = None
    python_mirror: str | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the secrets."""
        found = [_CA] if self.bundle else []
        found += [_PIP] if self.indexes else []
        return (*found, *([_UV] if self.indexes or self.python_mirror else []))

    def secrets(self, folder: Path) -> tuple[BuildSecret, ...]:
        """The secrets, their files written to `folder` (which must not be part of the build context)."""
        texts = {_PIP: self.pip_conf(), _UV: self.uv_toml()}
        result = []
        for name in self.ids:
            path = self.bundle if name == _CA else folder / name
            assert path is not None
            if name != _CA:
                path.touch(mode=0o600)
                path.write_text(texts[name])
            result.append(BuildSecret(name, src=path))
        return tuple(result)

    def pip_conf(self) -> str:
        """The index settings as pip reads them."""
        lines = ["[global]"]
        lines += [f"{key} = " + "\n    ".join(values) for key, values in (self.indexes or {}).items()]
        return "\n".join(lines) + "\n"

    def uv_toml(self) -> str:
        """The index settings as uv reads them."""
        indexes = self.indexes or {}
        lines = [f"index-url = {json.dumps(indexes['index-url'][0])}"] if indexes.get("index-url") else []
        if self.python_mirror:
            lines.append(f"python-install-mirror = {json.dumps(self.python_mirror)}")
        for theirs, ours in (
            ("extra-index-url", "extra-index-url"),
            ("find-links", "find-links"),
            ("trusted-host", "allow-insecure-host"),
        ):
            if indexes.get(theirs):
                lines.append(f"{ours} = {json.dumps(list(indexes[theirs]))}")
        return "\n".join(lines) + "\n"


def read(environ: Mapping[str, str] | None = None) -> HostSettings:
    """The settings of this host and user. What cannot reach a build is said in a warning."""
    env = os.environ if environ is None else environ
    found = _indexes(env)
    for key, values in found.items():
        for value in values:
            if not _reachable(value):
                logger.warning("%s = %s is a folder of this machine: image builds do without it", key, value)
    indexes = {key: usable for key, values in found.items() if (usable := tuple(filter(_reachable, values)))}
    mirror = env.get("UV_PYTHON_INSTALL_MIRROR") or None
    return HostSettings(_bundle(env), indexes or None, mirror)


def _bundle(env: Mapping[str, str]) -> Path | None:
    for name in _BUNDLE_VARIABLES:
        if env.get(name):
            if Path(env[name]).is_file():
                return Path(env[name])
            logger.warning("%s=%s is no file: image builds do without it", name, env[name])
    return next((Path(path) for path in _BUNDLES if Path(path).is_file()), None)


def _reachable(value: str) -> bool:
    # A folder of this machine does not exist in a build step.
    return not value.startswith(("/", ".", "~", "file:"))


def _indexes(env: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """pip's settings for indexes, in pip's own order: files, then variables; uv's variables beat both."""
    found: dict[str, tuple[str, ...]] = {}
    keys = ("index-url", "extra-index-url", "find-links", "trusted-host")
    for path in _pip_files(env):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError) as error:
            said = " ".join(str(error).split())
            logger.warning("%s cannot be read (%s): image builds do without it", path, said)
            continue
        for section in ("global", "install"):
            for key in keys:
                if parser.has_option(section, key):
                    found[key] = tuple(parser.get(section, key).split())
    for key in keys:
        value = env.get("PIP_" + key.upper().replace("-", "_"))
        if value:
            found[key] = tuple(value.split())
    for variable, key in (
        ("UV_INDEX_URL", "index-url"),
        ("UV_DEFAULT_INDEX", "index-url"),
        ("UV_EXTRA_INDEX_URL", "extra-index-url"),
        ("UV_INDEX", "extra-index-url"),
        ("UV_FIND_LINKS", "find-links"),
        ("UV_INSECURE_HOST", "trusted-host"),
    ):
        if env.get(variable):
            # uv lets an index have a name: `name=https://...`.
            words = env[variable].replace(",", " ").split()
            found[key] = tuple(word.split("=", 1)[1] if "=" in word.split("://")[0] else word for word in words)
    return found


def _pip_files(env: Mapping[str, str]) -> list[Path]:
    home = Path(env.get("HOME") or "/")
    chosen = env.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return []
    user = [home / ".pip/pip.conf", Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"]
    return [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        *([Path(chosen)] if chosen else user),
        Path(sys.prefix) / "pip.conf",
    ]
