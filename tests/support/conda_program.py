"""`conda env create --quiet --prefix PREFIX --file FILE`: the one command of conda that builds use, for networks
without conda. Channels, solving and linking are those of rattler; the pip list is installed as conda does it.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import rattler
import yaml

parser = argparse.ArgumentParser(prog="conda")
parser.add_argument("command", choices=["env"])
parser.add_argument("verb", choices=["create"])
parser.add_argument("--quiet", action="store_true", required=True)
parser.add_argument("--prefix", type=Path, required=True)
parser.add_argument("--file", type=Path, required=True)
options = parser.parse_args()
assert os.environ["CONDA_ALWAYS_YES"], "conda would ask"

environment = yaml.safe_load(options.file.read_text())
specs = [item for item in environment["dependencies"] if isinstance(item, str)]
pip = [line for item in environment["dependencies"] if isinstance(item, dict) for line in item["pip"]]


async def create() -> None:
    channels = [rattler.Channel(name) for name in environment["channels"]]
    records = await rattler.solve(channels, specs, platforms=[str(rattler.Platform.current()), "noarch"])
    for record in records:
        print(f"conda: {record.name.normalized} {record.version}", flush=True)
    await rattler.install(records, options.prefix, cache_dir=Path(os.environ["CONDA_PKGS_DIRS"]), show_progress=False)


def install_with_pip() -> None:
    folder = options.file.resolve().parent
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix="condaenv.", suffix=".requirements.txt") as file:
        file.write("\n".join(pip))
        file.flush()
        python = options.prefix / "bin/python"
        subprocess.run([python, "-m", "pip", "install", "-U", "-r", file.name], cwd=folder, check=True)


status = 0
try:
    asyncio.run(create())
    if pip:
        install_with_pip()
except Exception:
    traceback.print_exc()
    status = 1
# Threads of rattler may still run, and crash an interpreter that takes itself down meanwhile.
sys.stdout.flush()
sys.stderr.flush()
os._exit(status)
