"""Build secrets and SSH agents as the user gives them, checked before the build starts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tesseract.backends.spec import BuildSecret
from tesseract.errors import InvalidValue
from tesseract.projects import TesseractConfig


def parse_secret(text: str) -> BuildSecret:
    """Read `id=NAME,env=VARIABLE` or `id=NAME,src=FILE`. Raises: InvalidValue."""
    expected = "expected id=NAME,env=VARIABLE or id=NAME,src=FILE"
    fields: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or key not in ("id", "env", "src", "source", "type"):
            raise InvalidValue(f"Invalid --secret spec '{text}': {expected}.")
        fields["src" if key == "source" else key] = value
    if not fields.get("id"):
        raise InvalidValue(f"Invalid --secret spec '{text}': it has no id; {expected}.")
    name = fields["id"]
    if "src" in fields:
        path = Path(fields["src"]).expanduser().absolute()
        if not path.is_file():
            raise InvalidValue(f"Invalid --secret spec '{text}': there is no file {path}.")
        return BuildSecret(name, src=path)
    variable = fields.get("env", name)
    if variable not in os.environ:
        raise InvalidValue(f"Invalid --secret spec '{text}': the environment variable {variable} is not set.")
    return BuildSecret(name, env=variable)


def build_secrets(config: TesseractConfig, specs: Sequence[str]) -> tuple[BuildSecret, ...]:
    """The secrets given, which must hold all that `host_credentials` name. Raises: InvalidValue."""
    secrets = tuple(parse_secret(spec) for spec in specs)
    wanted = {credential.secret_id for credential in config.build_config.host_credentials}
    missing = sorted(wanted - {secret.id for secret in secrets})
    if missing:
        flags = " ".join(f"--secret id={name},env=VARIABLE" for name in missing)
        raise InvalidValue(f"host_credentials name secrets that were not given: {', '.join(missing)}. Add {flags}.")
    return secrets


def ssh_agent() -> str:
    """The caller's SSH agent as an engine's `--ssh` value. Raises: InvalidValue where there is none, or it is empty."""
    try:
        listed = subprocess.run(["ssh-add", "-L"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InvalidValue(f"The SSH agent could not be asked for keys: ssh-add: {error}") from error
    socket = os.environ.get("SSH_AUTH_SOCK")
    if not socket:
        raise InvalidValue("SSH_AUTH_SOCK is not set (start an agent with `eval $(ssh-agent)`, then run `ssh-add`)")
    if listed.returncode != 0 or not listed.stdout.strip():
        raise InvalidValue("No SSH keys found in SSH agent (try running `ssh-add`)")
    return f"default={socket}"
