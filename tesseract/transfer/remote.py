"""What stands below a URL, on any file system that fsspec knows."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tesseract.errors import InvalidValue, UserError
from tesseract.transfer import s3, web

logger = logging.getLogger("tesseract")

_SILENT = logging.NullHandler()
_VERSIONS = ("ETag", "etag", "mtime", "modify", "LastModified", "Last-Modified")
_CONNECTED = ("ftp", "sftp", "ssh")
_DEEPEST = 32  # levels of directories; what is deeper is a loop of links
AT_ONCE = 6  # requests to one server, as browsers do; simple servers drop more


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
    """

    name: str
    path: str
    size: int | None
    version: str


Found = tuple[str, str, dict[str, Any]]
"""Name relative to the URL, path in the file system's own words, and what fsspec knows about it."""


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

    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    # Such a file system holds a connection, which the server may have closed since it was used last.
    options: dict[str, Any] = {"skip_instance_cache": scheme in _CONNECTED}
    if web.is_web(url):
        options |= web.options(scheme)
    try:
        fs, path = fsspec.core.url_to_fs(f"{scheme}{separator}{rest}", **options)
    except (ValueError, ImportError) as problem:
        raise InvalidValue(
            f"'{without_credentials(url)}' cannot be used: {reason(problem, url)}. Install the fsspec package for it."
        ) from None
    except Exception as problem:  # every file system has errors of its own
        raise TransferError(f"'{without_credentials(url)}' cannot be reached: {reason(problem, url)}.") from cause(
            problem, url
        )
    # What goes wrong is said by us; without a handler, Python would print aiobotocore's tracebacks.
    logging.getLogger("aiobotocore").addHandler(_SILENT)
    fs.invalidate_cache()  # of listings
    return fs, str(path) if web.is_web(url) else str(path).rstrip("/")


def listing(fs: Any, root: str, url: str) -> list[RemoteFile]:
    """All files below a directory, or the one file that the URL names; sorted by name.

    Raises:
        TransferError: Nothing there, or access denied, or there are names that no directory can have.
    """
    try:
        files = [_file(*found) for found in _found(fs, root)]
    except Exception as problem:  # every file system has errors of its own
        raise TransferError(f"'{without_credentials(url)}' cannot be read: {reason(problem, url, fs)}.") from cause(
            problem, url
        )
    if not files:
        raise TransferError(
            f"There is nothing at '{without_credentials(url)}'. Check the URL, and your credentials for it."
        )
    files.sort(key=lambda file: file.name)
    if clash := _clash(file.name for file in files):
        raise TransferError(
            f"'{without_credentials(url)}' cannot be a directory here: {clash}. Use a URL that leaves it out."
        )
    return files


def _found(fs: Any, root: str) -> Iterable[Found]:
    if web.is_web(root):
        pages = list(dict(_pages(fs, root)).items()) if web.is_page(root) else [(web.file_name(root), root)]
        with ThreadPoolExecutor(AT_ONCE) as pool:  # sizes and versions are in no page
            infos = pool.map(fs.info, [path for _, path in pages])
            return [(*found, info) for found, info in zip(pages, infos, strict=True)]
    try:
        everything = fs.find(root, detail=True) if has_no_directories(fs) else _walked(fs, root)
    except NotADirectoryError:
        everything = {}
    if not everything and fs.isfile(root):
        everything = {root: fs.info(root)}
    # A key that ends with "/" is how object stores remember that somebody has made a folder.
    return [
        (path[len(root) :].lstrip("/") or path.rpartition("/")[2], path, info)
        for path, info in everything.items()
        if not path.endswith("/") and info.get("type") != "directory"
    ]


def _pages(fs: Any, page: str, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Name and URL of each file that a page links to, or the pages that it links to."""
    _check_depth(depth, prefix)
    for name, url in dict(web.links(fs, page)).items():
        if name.endswith("/"):
            yield from _pages(fs, url, prefix + name, depth + 1)
        else:
            yield prefix + name, url


def _walked(fs: Any, root: str) -> dict[str, dict[str, Any]]:
    """Like `fs.find`, which passes over what it cannot read. A warning names what is neither file nor directory."""
    odd: list[str] = []
    found = dict(_walk(fs, root, odd))
    if odd:
        names = [path.removeprefix(root).lstrip("/") for path in odd[:5]]
        more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
        logger.warning(
            "Left out, as neither file nor directory (links that lead nowhere?): %s%s", ", ".join(names), more
        )
    return found


def _walk(fs: Any, directory: str, odd: list[str], depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    _check_depth(depth, directory)
    for info in fs.ls(directory, detail=True):
        path = info["name"]
        if path.rstrip("/") == directory:
            continue
        if info["type"] == "directory" or (info["type"] != "file" and fs.isdir(path)):
            yield from _walk(fs, path, odd, depth + 1)
        elif info["type"] == "file" or fs.isfile(path):
            yield path, info
        else:
            odd.append(path)


def _check_depth(depth: int, place: str) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"a loop of links, or more than {_DEEPEST} levels of directories: {place[:60]}…")


def has_no_directories(fs: Any) -> bool:
    """Whether it is an object store, where keys only look like paths."""
    return type(fs).__name__ in ("S3FileSystem", "GCSFileSystem", "AzureBlobFileSystem")


def _file(name: str, path: str, info: dict[str, Any]) -> RemoteFile:
    if not {"", ".", ".."}.isdisjoint(name.split("/")) or "\0" in name:
        raise ValueError(f"unsafe name {name!r}")
    version = next((str(info[key]) for key in _VERSIONS if info.get(key)), "")
    size = info.get("size")
    return RemoteFile(name, path, None if size is None else int(size), version)


def _clash(names: Iterable[str]) -> str | None:
    """Why these names cannot stand in one tree of files."""
    seen = set()
    for name in names:
        if name in seen:
            return f"'{name}' is there twice"
        seen.add(name)
    for name in seen:
        parts = name.split("/")
        for end in range(1, len(parts)):
            if (parent := "/".join(parts[:end])) in seen:
                return f"'{parent}' is a file and a directory"
    return None


# What is printed


def without_credentials(url: str) -> str:
    """The URL as it may be printed: no user, no password, no query (which may carry a signature)."""
    return _without_odd_passwords(re.sub(r"://[^/?#]*@", "://", url)).partition("?")[0]


def _without_odd_passwords(url: str) -> str:
    """A password with a slash in it, which is no valid URL, must not be printed either. Looks at nothing twice."""
    kept, begin, at = [], 0, -1
    while (start := url.find("://", begin) + 3) > 2:
        kept.append(url[begin:start])
        begin = start
        at = at if at >= start else url.find("@", start)
        if at < 0:
            break
        password = url[start:at].partition("/")[0].partition(":")[2]
        if not re.fullmatch(r"\d*", password):  # a number alone is a port
            begin = at + 1
    return "".join([*kept, url[begin:]])


def reason(problem: BaseException, url: str = "", fs: Any = None) -> str:
    """One line for whatever a file system raised, without the credentials that `url` may carry.

    Args:
        problem: What was raised.
        url: Where.
        fs: The file system, if there is one: it knows which credentials were refused.
    """
    if (refused := s3.refusal(problem, fs)) is not None:
        s3.forget_credentials(fs)
        return _shortened(refused)
    # fsspec calls everything that is wrong with an HTTP answer a missing file; the cause knows better.
    below = problem.__cause__ if isinstance(problem, FileNotFoundError) else None
    answer = next((error for error in (problem, below) if hasattr(error, "status")), None)
    status = getattr(answer, "status", None)
    if status in (401, 403):
        words = f"{status} {getattr(answer, 'message', '')}".rstrip()
        return f"access denied, the server answers {words}; check your credentials (~/.netrc, or those in the URL)"
    silent = below is not None and web.is_failure(below)
    if status in (404, 410) or (status is None and isinstance(problem, FileNotFoundError) and not silent):
        return "it does not exist"
    if status is not None:
        return f"the server answers {status} {getattr(answer, 'message', '')}".rstrip()
    said = below if below is not None and silent else problem
    text = " ".join(str(said).split())
    if not text:
        text = "no answer in time" if isinstance(said, TimeoutError) else type(said).__name__
    if url:
        text = text.replace(url, without_credentials(url))
    text = re.sub(r"(?<![\w.+-])[\w.+-]+://[^\s'\"]+", lambda found: without_credentials(found[0]), text)
    for password in _passwords(url):
        text = text.replace(password, "***")
    if isinstance(problem, PermissionError):
        text = f"access denied: {text.rstrip('.')}; check your credentials"
    return _shortened(text)


def _shortened(text: str) -> str:
    return (text if len(text) < 400 else f"{text[:400]}…").rstrip(".")


def cause(problem: Exception, url: str) -> Exception | None:
    """What to raise an error from: tracebacks are printed, and that of `problem` may show what `url` must not."""
    return problem if without_credentials(url) == url else None


def _passwords(url: str) -> set[str]:
    found = {userinfo.partition(":")[2] for userinfo in re.findall(r"://([^@]*)@", url)}
    return {*found, *map(unquote, found), *(password.partition("/")[0] for password in found)} - {""}
