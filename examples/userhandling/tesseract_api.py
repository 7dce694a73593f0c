"""Who am I in there? Reports the user that the container runs as, and leaves a file that should belong to its caller.

tesseract run userhandling apply --output-path ./output '{"inputs": {}}'
tesseract run userhandling apply --output-path ./output --user 1000:1000 '{"inputs": {}}'
"""

import getpass
import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydantic import BaseModel, Field
from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.experimental import OutputPath


class InputSchema(BaseModel):
    filename: str = Field(description="Name of the file to write into the output path.", default="whoami.txt")


class OutputSchema(BaseModel):
    uid: int = Field(description="User id of the process.")
    gid: int = Field(description="Group id of the process.")
    groups: list[int] = Field(description="Supplementary group ids.")
    user_name: str = Field(description="Name of the user; the id where it has none.")
    home: str = Field(description="Home directory.")
    home_is_writable: bool = Field(description="Whether a file can be made in the home directory.")
    file: OutputPath = Field(description="The file that was written.")
    file_uid: int = Field(description="Owner of that file, as seen in the container.")
    file_gid: int = Field(description="Group of that file, as seen in the container.")


def can_write(folder: Path) -> bool:
    """Whether a file can really be made there (permissions alone do not tell)."""
    try:
        with NamedTemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no passwd entry: KeyError before Python 3.13, OSError from then on
        return str(os.getuid())


def apply(inputs: InputSchema) -> OutputSchema:
    """Report who runs this, and write a file."""
    file = Path(get_config().output_path) / Path(inputs.filename).name
    file.write_text(f"written by {user_name()} ({os.getuid()}:{os.getgid()})\n")
    status = file.stat()
    home = Path.home()
    return OutputSchema(
        uid=os.getuid(),
        gid=os.getgid(),
        groups=sorted(os.getgroups()),
        user_name=user_name(),
        home=str(home),
        home_is_writable=can_write(home),
        file=file,
        file_uid=status.st_uid,
        file_gid=status.st_gid,
    )
