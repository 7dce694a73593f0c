"""Small pure translations that all drivers share: memory sizes, image references, what failed builds say."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

from tesseract import errors
from tesseract.backends.spec import BuildSpec

_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def memory_bytes(text: str) -> int:
    """Bytes of a memory limit in engine syntax (`512m`, `2g`, `1073741824`). Raises: InvalidValue."""
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([bkmgt]?)(?:i?b)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise errors.InvalidValue(f"Invalid memory limit '{text}': give a number with a unit, for example 512m or 2g.")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def short_reference(reference: str) -> str:
    """An image reference as people write it: without Podman's `localhost/`."""
    return reference.removeprefix("localhost/")


def with_tag(reference: str) -> str:
    """The reference with `:latest` where it has neither tag nor digest."""
    return reference if "@" in reference or ":" in reference.rsplit("/", 1)[-1] else f"{reference}:latest"


def with_variables(variables: Mapping[str, str], words: Sequence[str]) -> list[str]:
    """A command line that sets environment variables first."""
    return [*(["env", *(f"{name}={value}" for name, value in variables.items())] if variables else []), *words]


def build_words(spec: BuildSpec) -> list[str]:
    """The words of a build that Podman's and Docker's command lines share, the context last."""
    words = [f"--file={spec.containerfile}", *(f"--tag={tag}" for tag in spec.tags)]
    if spec.platform:
        words.append(f"--platform={spec.platform}")
    words += [f"--build-arg={name}={value}" for name, value in spec.build_args.items()]
    for secret in spec.secrets:
        source = f"src={secret.src}" if secret.src is not None else f"env={secret.env}"
        words.append(f"--secret=id={secret.id},{source}")
    words += [f"--ssh={agent}" for agent in spec.ssh]
    return [*words, *spec.raw_args, str(spec.context)]


# ---- what failed builds say -----------------------------------------------------------------------------------------

# The line by which tools tell what went wrong: our scripts, apt, uv (two generations), pip, git, Python.
_REASON = re.compile(r"(tesseract|E|error|ERROR|Error|fatal): |  × |([a-z_]\w*\.)*[A-Z]\w*(Error|Exception): ")


def build_failure(log: Sequence[str], step: str, output: Sequence[str], said: str) -> errors.BuildError:
    """The error of a failed build.

    Args:
        log: All that was printed.
        step: The instruction that failed; empty where none began.
        output: Lines that it printed.
        said: The engine's own reason, which is often but an exit status.
    """
    where = " ".join(re.sub(r"(?<!\S)--mount=\S+ | # [0-9a-f]{12}$", "", step).split())
    where = f" at `{where if len(where) <= 100 else where[:99] + '…'}`" if where else ""
    reason = _reason(output) or said
    return errors.BuildError(f"Image build failed{where}: {reason}", log, reason if step else "")


def _reason(output: Sequence[str]) -> str:
    for index in reversed(range(len(output))):
        if _REASON.match(output[index]):
            below = itertools.takewhile(lambda line: line.startswith("  "), output[index + 1 :])
            return "; ".join([output[index].strip(), *_cause([line.strip() for line in below])])
    return ""


def _cause(lines: Sequence[str]) -> Sequence[str]:
    """The innermost of the causes that uv tells below its error: what a program said, or the last of a chain."""
    if "--- stderr" in lines:
        return lines[lines.index("--- stderr") + 1 :][:1]
    return [line for line in lines if line.startswith(("cause: ", "╰─▶ "))][-1:]
