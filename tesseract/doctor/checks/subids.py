"""Subordinate ids: the ranges of /etc/subuid and /etc/subgid that a user's containers may use."""

from __future__ import annotations

from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, error, ok, warning

NEEDED = 65536
FILES = ("/etc/subuid", "/etc/subgid")
Range = tuple[str, int, int]


@dataclass(frozen=True)
class Probe:
    """`ranges`: per file, every (owner, first id, count). `uid_map`: lines of the user namespace that Podman makes."""

    user: str
    uid: int
    ranges: dict[str, tuple[Range, ...]]
    uid_map: tuple[tuple[int, int, int], ...] = ()


def parse(text: str) -> tuple[Range, ...]:
    """Entries of a subid file; what is not `owner:first:count` is passed over."""
    found = []
    for line in text.splitlines():
        parts = line.split("#")[0].strip().split(":")
        if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
            found.append((parts[0], int(parts[1]), int(parts[2])))
    return tuple(found)


def overlap(ranges: tuple[Range, ...], user: str) -> str | None:
    """Another owner whose range shares ids with one of the user's."""
    for owner, first, count in ranges:
        for mine, start, length in ranges:
            if mine == user and owner != user and first < start + length and start < first + count:
                return owner
    return None


class Subids(Check[Probe]):
    name = "subids"
    title = "Subordinate user and group ids"
    engine = "podman"

    def probe(self, machine: Machine) -> Probe:
        ranges = {file: parse(machine.read(file) or "") for file in FILES}
        seen = machine.run("podman", "unshare", "cat", "/proc/self/uid_map")
        lines = seen.stdout.splitlines() if seen.status == 0 else []
        uid_map = tuple((int(a), int(b), int(c)) for a, b, c in (line.split() for line in lines))
        return Probe(machine.user, machine.uid, ranges, uid_map)

    def judge(self, probe: Probe) -> Finding:
        for file, ranges in probe.ranges.items():
            total = sum(count for owner, _, count in ranges if owner in (probe.user, str(probe.uid)))
            option = "--add-subuids" if file.endswith("uid") else "--add-subgids"
            first = max((start + count for _, start, count in ranges), default=100000)
            remedy = (
                f"Ask an administrator for: sudo usermod {option} {first}-{first + NEEDED - 1} {probe.user}; "
                "then run: podman system migrate"
            )
            if total == 0:
                return error(f"no range for {probe.user} in {file}: keep-id and most images cannot work", remedy)
            if total < NEEDED:
                return warning(
                    f"only {total} ids for {probe.user} in {file}: images with higher ids cannot be used", remedy
                )
            if other := overlap(ranges, probe.user):
                return warning(
                    f"the range of {probe.user} in {file} overlaps that of {other}: each can touch the other's files",
                    remedy,
                )
        mapped = sum(count for _, _, count in probe.uid_map)
        if probe.uid_map and mapped <= 1:
            return error(
                "Podman still runs with the ids of before: only one is mapped",
                "Stop your containers and run: podman system migrate",
            )
        return ok(
            f"{sum(c for o, _, c in probe.ranges[FILES[0]] if o in (probe.user, str(probe.uid)))} ids for {probe.user}"
        )

    def fix(self, probe: Probe) -> str | None:
        enough = all(
            sum(c for o, _, c in ranges if o in (probe.user, str(probe.uid))) >= NEEDED
            for ranges in probe.ranges.values()
        )
        if enough and probe.uid_map and sum(count for _, _, count in probe.uid_map) <= 1:
            done = Machine().run("podman", "system", "migrate", timeout=60)
            return "ran podman system migrate" if done.status == 0 else None
        return None


CHECK = Subids()
