"""What stands below a URL, on any file system that fsspec knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tesseract.errors import InvalidValue, UserError

_VERSIONS = ("ETag", "etag", "mtime", "modify", "LastModified", "Last-Modified")


class TransferError(UserError, RuntimeError):
    """Data could not be fetched or uploaded."""


@dataclass(frozen=True)
class RemoteFile:
    """A file below a URL.

    Attributes:
        name: Path relative to the URL.
        path: Path in the file system's own words.
        size: Bytes, or None if the server does not say.
        version: Whatever changes when the content does: ETag, else time of modification; empty if nothing is known.
        resumable: Whether reading can start in the middle.
    """

    name: str
    path: str
    size: int | None
    version: str
    resumable: bool


def is_url(text: str) -> bool:
    """Whether a path of the user is a URL; a Windows drive is not."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and len(scheme) > 1


def open_url(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises:
        InvalidValue: Unknown scheme.
        TransferError: The server cannot be reached, or refuses us.
    """
    import fsspec.core

    # Such a file system holds a connection, which the server may have closed since it was used last.
    connected = url.partition("://")[0] in ("ftp", "sftp", "ssh")
    try:
        fs, path = fsspec.core.url_to_fs(url, skip_instance_cache=connected)
    except (ValueError, ImportError) as problem:
        raise InvalidValue(
            f"'{without_credentials(url)}' cannot be used: {reason(problem, url)}. Install the fsspec package for it."
        ) from None
    except Exception as problem:  # every file system has errors of its own
        raise TransferError(f"'{without_credentials(url)}' cannot be reached: {reason(problem, url)}.") from problem
    fs.invalidate_cache()  # of listings
    return fs, str(path).rstrip("/")


def without_credentials(url: str) -> str:
    """The URL as it may be printed: no user, no password, no query (which may carry a signature)."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def listing(fs: Any, root: str, url: str) -> list[RemoteFile]:
    """All files below a directory, or the one file that the URL names; sorted by name.

    Raises:
        TransferError: Nothing there, or access denied.
    """
    try:
        if url.startswith("http") and not url.endswith("/"):
            found = {root: fs.info(root)}  # one file; to look for more would be to read it as a page of links
        else:
            found = fs.find(root, detail=True)
        if not found and fs.isfile(root):
            found = {root: fs.info(root)}
        files = [_file(fs, root, path, info) for path, info in found.items()]
    except Exception as problem:  # every file system has errors of its own
        raise TransferError(f"'{without_credentials(url)}' cannot be read: {reason(problem, url)}.") from problem
    if not files:
        raise TransferError(
            f"There is nothing at '{without_credentials(url)}'. Check the URL, and your credentials for it."
        )
    return sorted(files, key=lambda file: file.name)


def _file(fs: Any, root: str, path: str, info: dict[str, Any]) -> RemoteFile:
    if info.get("size") is None and info.get("type") != "directory":
        info = {**info, **fs.info(path)}
    name = path[len(root) :].lstrip("/") or path.rstrip("/").rpartition("/")[2]
    if ".." in name.split("/"):
        raise ValueError(f"unsafe name {name!r}")
    version = next(
        (str(info[key]) for key in _VERSIONS if info.get(key)),
        "",
    )
    size = info.get("size")
    resumable = bool(info.get("partial")) if path.startswith("http") else True  # as the server says, or not
    return RemoteFile(name, path, None if size is None else int(size), version, resumable)


def reason(problem: BaseException, url: str = "") -> str:
    """One line for whatever a file system raised, without the credentials that `url` may carry."""
    # fsspec calls everything that is wrong with an HTTP answer a missing file; the cause knows better.
    answer = next((error for error in (problem, problem.__cause__) if hasattr(error, "status")), None)
    status = getattr(answer, "status", None)
    if isinstance(problem, PermissionError) or status in (401, 403):
        return "access denied; check your credentials"
    if status in (404, 410) or (status is None and isinstance(problem, FileNotFoundError)):
        return "it does not exist"
    if status is not None:
        return f"the server answers {status} {getattr(answer, 'message', '')}".rstrip()
    text = " ".join(str(problem).split()) or type(problem).__name__
    if url:
        text = text.replace(url, without_credentials(url))
    if password := _password(url):
        text = text.replace(password, "***")
    return text.rstrip(".")


def _password(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].rpartition("@")[0].partition(":")[2]
