"""Small pure translations that all drivers share: memory sizes, image references, what engines say when they fail."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence

from tesseract import errors
from tesseract.backends.spec import BuildSpec

_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def memory_bytes(text: str) -> int:
    """Bytes of a memory limit in engine syntax (`512m`, `2g`, `1073741824`). Raises: InvalidValue."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?\s*", text, re.IGNORECASE)
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


# ---- what engines say -----------------------------------------------------------------------------------------------

SUBIDS = (
    "Give the user a range: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, "
    "then run 'podman system migrate'."
)

LOST_PROCESSES = (
    "Podman lost the processes that it left running: all were killed, as a batch system or a logout does. "
    "Run 'podman system migrate', which ends what is left of their containers."
)

_Rule = tuple[str, Callable[["re.Match[str]", str], errors.EngineError]]


def _port_in_use(match: re.Match[str], text: str) -> errors.EngineError:
    port = re.search(r"bind port (\d+)|(?:bind for |listen \w+ |address )[^\s]*:(\d+)", text) or re.search(
        r":(\d+)\b", text
    )
    number = next((group for group in port.groups() if group), "") if port else ""
    what = f"Port {number}" if number else "A port"
    return errors.PortInUse(f"{what} was already in use (address already in use). Choose another port.")


# First match wins. The patterns are texts that podman 4.3 and 5.4 and Docker 20.10 were seen to print.
_RULES: tuple[_Rule, ...] = (
    (
        r"address already in use|port is already allocated|proxy already running|only one usage of each socket address",
        _port_in_use,
    ),
    (
        r"cannot expose privileged port (\d+)",
        lambda m, t: errors.APIError(f"Port {m[1]} is privileged: ports below 1024 need root. Choose a higher one."),
    ),
    (
        r"container name \"?/?([^\"\s]+)\"? is already in use",
        lambda m, t: errors.NameInUse(f"A container named '{m[1]}' exists already. Remove it or choose another name."),
    ),
    (
        r"unresolvable CDI devices ([^\s:]+)|CDI device.*?(\S+=\S+).*?not found",
        lambda m, t: errors.GpuNotFound(
            f"No CDI specification offers '{m[1] or m[2]}'. Create one: "
            "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
        ),
    ),
    (
        r"could not select device driver|CDI is (?:disabled|not enabled)",
        lambda m, t: errors.GpuNotFound(
            "Docker cannot pass GPUs into containers here. Install the NVIDIA Container Toolkit and run: "
            "sudo nvidia-ctk runtime configure --runtime=docker"
        ),
    ),
    (
        r"(\S+): image not known|No such image: (\S+)|pull access denied for ([^,\s]+)",
        lambda m, t: errors.ImageNotFound(_image(m[1] or m[2] or m[3])),
    ),
    (
        r"short-name \"?([^\"\s]+?)\"? did not resolve|invalid reference format|no such image",
        lambda m, t: errors.ImageNotFound(_image(m[1])),
    ),
    (
        r"no (?:such container|container with (?:name or )?ID(?: or name)?) ?:?\s*\"?([^\"\s:]*)|No such container: (\S+)",  # noqa: E501
        lambda m, t: errors.ContainerNotFound(
            f"Container {m[1] or m[2] or ''} not found. Use `tesseract ps` to see what runs.".replace("  ", " ")
        ),
    ),
    (
        r"(?:unable to find network with name or ID (\S+?):?|network (\S+) not found|network not found)(?:\s|$)",
        lambda m, t: errors.NetworkNotFound(f"Network {m[1] or m[2] or ''} not found.".replace("  ", " ")),
    ),
    (
        r"invalid internal status",
        lambda m, t: errors.EngineUnavailable(LOST_PROCESSES),
    ),
    (
        r"\"?newuidmap\"?: executable file not found|newgidmap\"?: executable file not found",
        lambda m, t: errors.EngineUnavailable(
            "Rootless Podman needs newuidmap and newgidmap. Install uidmap (Debian) or shadow-utils (Fedora)."
        ),
    ),
    (
        r"no subuid ranges found for user \"?([^\"\s]+)\"?",
        lambda m, t: errors.EngineUnavailable(
            f"User {m[1]} has no subordinate user ids in /etc/subuid. {SUBIDS.replace('USER', m[1])}"
        ),
    ),
    (
        r"keep-id requires additional UIDs|not enough IDs available|insufficient UIDs or GIDs|cannot setresuid",
        lambda m, t: errors.EngineUnavailable(
            f"The user has too few subordinate ids in /etc/subuid and /etc/subgid. {SUBIDS}"
        ),
    ),
    (
        r"(?:statfs|stat|bind source path does not exist:) ?(/\S+?)(?:: no such file or directory|$)",
        lambda m, t: errors.APIError(f"Source path {m[1]} does not exist, please provide a valid local path."),
    ),
)


def _image(name: str | None) -> str:
    return f"Image {name or ''} not found. Build it with `tesseract build`, or see `tesseract list`.".replace("  ", " ")


def engine_error(engine: str, message: str, status: int | None = None) -> errors.EngineError:
    """What the user is told when an engine answers with an error: the known ones by name, the others verbatim.

    Args:
        engine: Name of the engine, for the line.
        message: What the engine said.
        status: HTTP status, where there was one.
    """
    text = " ".join(message.removeprefix("Error: ").split())
    for pattern, make in _RULES:
        match = re.search(pattern, text, re.IGNORECASE)
        if match is not None:
            error = make(match, text)
            if isinstance(error, errors.APIError):
                error.status = status
            return error
    return errors.APIError(f"{engine} refused: {text or 'no reason given'}", status)


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
    where = " ".join(re.sub(r"--mount=\S+ | # [0-9a-f]{12}$", "", step).split())
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
