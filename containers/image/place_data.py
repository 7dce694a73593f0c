"""place_data.py SOURCE DESTINATION [...]: copy package data into the image, like COPY, with the rules for its modes.

Files keep the modes they have in the project and are readable by all. Directories that are made here can be written to
by any user (sticky, so that nobody removes another's files); those that exist keep their mode.
"""

import os
import shutil
import sys


def make_directory(path: str) -> None:
    if path and not os.path.isdir(path):
        make_directory(os.path.dirname(path))
        os.mkdir(path)
        os.chmod(path, 0o1777)


def place_file(source: str, target: str) -> None:
    make_directory(os.path.dirname(target))
    shutil.copyfile(source, target)
    mode = os.stat(source).st_mode & 0o777
    os.chmod(target, mode | 0o444 | (0o111 if mode & 0o100 else 0))
    os.chown(target, 0, 0)


def place(source: str, destination: str) -> None:
    target = os.path.join("/tesseract", destination)
    if os.path.isdir(source):
        make_directory(target.rstrip("/"))
        for folder, _, names in os.walk(source):
            here = os.path.normpath(os.path.join(target, os.path.relpath(folder, source)))
            make_directory(here)
            for name in names:
                place_file(os.path.join(folder, name), os.path.join(here, name))
    elif destination.endswith("/") or destination in (".", "..") or os.path.isdir(target):
        place_file(source, os.path.join(target, os.path.basename(source)))
    else:
        place_file(source, target)


os.chdir("/run/tesseract")
for index in range(1, len(sys.argv), 2):
    place(sys.argv[index], sys.argv[index + 1])
