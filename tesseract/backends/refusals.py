"""What engines say when they refuse or fail, as our errors.

Engines quote names and paths that images and other programs chose. So an expression never looks twice at the same part
of a text: each begins with fixed words, or at the beginning of a word, and what it takes ends with the word.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tesseract import errors

SUBIDS = (
    "Give the user a range: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, "
    "then run 'podman system migrate'."
)
LOST_PROCESSES = (
    "Podman lost the processes that it left running: all were killed, as a batch system or a logout does. "
    "Run 'podman system migrate', which ends what is left of their containers."
)
# Programs that Podman calls → packages of Debian and Ubuntu, and of Fedora.
HELPERS = {
    "aardvark-dns": ("aardvark-dns", "aardvark-dns"),
    "catatonit": ("catatonit", "catatonit"),
    "conmon": ("conmon", "conmon"),
    "crun": ("crun", "crun"),
    "fuse-overlayfs": ("fuse-overlayfs", "fuse-overlayfs"),
    "fusermount3": ("fuse3", "fuse3"),
    "netavark": ("netavark", "netavark"),
    "newgidmap": ("uidmap", "shadow-utils"),
    "newuidmap": ("uidmap", "shadow-utils"),
    "nft": ("nftables", "nftables"),
    "iptables": ("iptables", "iptables-nft"),
    "pasta": ("passt", "passt"),
    "rootlessport": ("podman", "podman"),
    "runc": ("runc", "runc"),
    "slirp4netns": ("slirp4netns", "slirp4netns"),
}
_OTHER_NAMES = {"container-init": "catatonit"}
_LONGEST = 4000  # characters of an engine's text that a message quotes

_Match = re.Match[str]


def engine_error(engine: str, message: str, status: int | None = None) -> errors.EngineError:
    """What the user is told when an engine answers with an error: the known ones by name, the others verbatim.

    Args:
        engine: Name of the engine, for the line.
        message: What the engine said.
        status: HTTP status, where there was one.
    """
    text = " ".join(message.removeprefix("Error: ").split())
    error = next((make(match, text) for rule, make in _RULES if (match := rule.search(text))), None)
    if error is None:
        error = errors.APIError(f"{engine} refused: {_bounded(text) or 'no reason given'}")
    if isinstance(error, errors.APIError):
        error.status = status
    return error


def missing_helper(program: str) -> str:
    """The line for a program that Podman calls and that is not there."""
    debian, fedora = HELPERS[program]
    names = debian if debian == fedora else f"{debian} (Debian, Ubuntu) or {fedora} (Fedora)"
    return f"Podman needs {program}, which is not installed. Install the package {names}."


def _bounded(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]} [... {len(text) - _LONGEST} characters ...] {text[-half:]}"


# Where engines put the number: Podman with rootlessport, with the older pasta and with the newer one, Docker.
_PORT = re.compile(r"bind port (\d+)|HOST \w+ port (?:\S*/)?(\d+)|(?:bind for |listen \w+ |address )\S*:(\d+)", re.I)
_ANY_PORT = re.compile(r":(\d+)\b")


def _port_in_use(match: _Match, text: str) -> errors.EngineError:
    port = _PORT.search(text) or _ANY_PORT.search(text)
    number = next(filter(None, port.groups()), "") if port else ""
    what = f"Port {number}" if number else "A port"
    return errors.PortInUse(f"{what} was already in use (address already in use). Choose another port.")


def _helper(match: _Match, text: str) -> errors.EngineError:
    program = next(filter(None, match.groups())).lower()
    return errors.EngineUnavailable(missing_helper(_OTHER_NAMES.get(program, program)))


def _disk_full(match: _Match, text: str) -> errors.EngineError:
    return errors.DiskFull(_bounded(text))


def _image(match: _Match, text: str) -> errors.EngineError:
    name = next(filter(None, match.groups()), "")
    return errors.ImageNotFound(
        f"Image {name} not found. Build it with `tesseract build`, or see `tesseract list`.".replace("  ", " ")
    )


def _container(match: _Match, text: str) -> errors.EngineError:
    name = next(filter(None, match.groups()), "")
    return errors.ContainerNotFound(
        f"Container {name} not found. Use `tesseract ps` to see what runs.".replace("  ", " ")
    )


def _network(match: _Match, text: str) -> errors.EngineError:
    name = next(filter(None, match.groups()), "")
    return errors.NetworkNotFound(f"Network {name} not found.".replace("  ", " "))


def _source(match: _Match, text: str) -> errors.EngineError:
    return errors.APIError(f"Source path {match[1]} does not exist, please provide a valid local path.")


_PROGRAMS = "|".join(map(re.escape, HELPERS))

# First match wins. The patterns are texts that podman 4.3 to 5.8 and Docker 20.10 were seen to print.
_RULES: tuple[tuple[re.Pattern[str], Callable[[_Match, str], errors.EngineError]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), make)
    for pattern, make in (
        # Before all others: what an engine cannot do for want of space it often calls missing.
        (r"no space left on device|disk quota exceeded", _disk_full),
        (
            r"address already in use|port is already allocated|proxy already running"
            r"|only one usage of each socket address",
            _port_in_use,
        ),
        (
            r"cannot expose privileged port (\d+)",
            lambda m, t: errors.APIError(
                f"Port {m[1]} is privileged: ports below 1024 need root. Choose a higher one."
            ),
        ),
        (
            r"container name \"?/?([^\"\s]+)\"? is already in use",
            lambda m, t: errors.NameInUse(
                f"A container named '{m[1]}' exists already. Remove it or choose another name."
            ),
        ),
        (
            r"unresolvable CDI devices ([^\s:]+)|CDI device \"?([^\s=\"]+=[^\s\"]+)\"? not found",
            lambda m, t: errors.GpuNotFound(
                f"No CDI specification offers '{m[1] or m[2]}'. Create one: "
                "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
            ),
        ),
        (
            r"failed to stat (?:CDI )?(?:host )?device \"?(/[^\s\"]+)",
            lambda m, t: errors.GpuNotFound(
                f"A CDI specification names the device node {m[1]}, which is not there. Renew it: "
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
            rf"exec: \"(?:[\w./-]*/)?({_PROGRAMS})\": executable file not found"
            rf"|could not find \"?(?:a working )?({_PROGRAMS})\b"
            rf"|default OCI runtime \"({_PROGRAMS})\" not found|(container-init) binary not found",
            _helper,
        ),
        (r"(?<!\S)(\S+): image not known|No such image: (\S+)|pull access denied for ([^,\s]+)", _image),
        (r"short-name \"?([^\"\s]+)\"? did not resolve|invalid reference format|no such image", _image),
        (
            r"no (?:such container|container with (?:name or )?ID(?: or name)?) ?:?\s*\"?([^\"\s:]*)"
            r"|No such container: (\S+)",
            _container,
        ),
        (
            r"unable to find network with name or ID (\S+?):?(?:\s|$)|network (\S+) not found(?:\s|$)"
            r"|network not found(?:\s|$)",
            _network,
        ),
        (r"invalid internal status", lambda m, t: errors.EngineUnavailable(LOST_PROCESSES)),
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
        # The whole text: further in, it is about a file of the engine's own, or one in the image.
        (r"^statfs (/.*): no such file or directory$", _source),
        (r"bind source path does not exist: ?(/.*)$", _source),
    )
)
