"""Rebuilding after an edit of `tesseract_api.py`, and running what was built."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Ratio, command, paired

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "vectoradd"
IMAGE = "bench-vectoradd"
KEEP_ID = ("podman", "run", "--rm", "--userns=keep-id", "--entrypoint", "true", f"localhost/{IMAGE}:latest")


def ratios() -> Iterator[Ratio]:
    with tempfile.TemporaryDirectory(prefix="tesseract-bench-") as temp:
        project, context = Path(temp, "project"), Path(temp, "context")
        shutil.copytree(EXAMPLE, project)
        config = project / "tesseract_config.yaml"
        config.write_text(config.read_text().replace("vectoradd", IMAGE, 1))
        build = ("tesseract", "build", str(project))
        command(*build)()
        command(*build, "--generate-only", "--build-dir", str(context))()
        edits = 0

        def edit() -> None:
            nonlocal edits
            edits += 1
            with (project / "tesseract_api.py").open("a") as api:
                api.write(f"# edit {edits}\n")

        def rebuild() -> float:
            """Seconds until the image has its tags; then the old mapped copy goes and a new one is made."""
            start = tagged = time.perf_counter()
            with subprocess.Popen(
                ["tesseract", "--loglevel", "debug", *build[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            ) as process:
                assert process.stderr
                for line in process.stderr:
                    if b"Successfully tagged" in line:
                        tagged = time.perf_counter()
            assert process.returncode == 0
            assert tagged > start
            return tagged - start

        unchanged = (
            "podman",
            "build",
            "-q",
            "--pull=never",
            "-t",
            "bench-unchanged",
            "-f",
            _containerfile(context),
            str(context),
        )
        yield paired(
            "tesseract build after an edit, until tagged",
            rebuild,
            "podman build that changes nothing",
            command(*unchanged),
            budget=5,
            rounds=5,
            between=[edit],
        )
        yield paired(
            "tesseract run (one apply)",
            command("tesseract", "run", IMAGE, "apply", '{"inputs": {"a": [1, 2], "b": [3, 4]}}'),
            "podman run --entrypoint true",
            command(*KEEP_ID),
            budget=5,
        )
        subprocess.run(
            ["podman", "rmi", "-f", f"localhost/{IMAGE}", "bench-unchanged"], capture_output=True, check=False
        )


def _containerfile(context: Path) -> str:
    return str(next(context.glob("*ontainerfile"), context / "Dockerfile"))
