"""Results to bytes, and the few file operations that work on local paths and on anything fsspec can open.

fsspec is imported at the first URL; local paths never need it.
"""

from __future__ import annotations

import glob
import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, get_args

from tesseract_core import framing
from tesseract_core.client.encoding import GPU_TRANSPORTS
from tesseract_core.redirects import RedirectRefused, aiohttp_trace

SUPPORTED_FORMATS = Literal["json", "json+base64", "json+binref"]

NONFINITE = ("null", "literal")
COMPLEX = ("text", "object")

PathLike = str | os.PathLike[str]

HTTP_SILENCE = 20.0  # seconds for which a web server may say nothing

# More than one letter: "c:/x" is a Windows path.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def available_formats() -> tuple[str, ...]:
    """Output formats that a client may ask for."""
    return get_args(SUPPORTED_FORMATS)


def available_gpu_transports() -> tuple[str, ...]:
    """Ways in which GPU arrays may travel."""
    return GPU_TRANSPORTS


def available_compressions() -> tuple[str, ...]:
    """Compressions of base64 and binref buffers."""
    return ("none", "lz4")


def output_to_bytes(
    obj: Any,
    format: str,
    base_dir: PathLike | None = None,
    binref_dir: PathLike | None = None,
    compression: str | None = None,
    gpu_transport: str = "none",
    device_exports: Any = None,
    nonfinite: str = "null",
    complex_as: str = "text",
) -> bytes:
    """Encode a result as compact JSON (UTF-8, no trailing newline). Fields that were never set are left out.

    Plain numbers that are infinite or NaN, and plain complex numbers, keep their values in `json+binary`.

    Args:
        obj: Result of an endpoint; any tree of models, containers, arrays and JSON values.
        format: `json`, `json+base64`, `json+binref`, or `json+binary` (of `framing`: no text, but a body for HTTP).
        base_dir: For `json+binref`: references are relative to it (default: the configured output path).
        binref_dir: For `json+binref`: directory below `base_dir` that files are written to.
        compression: `lz4` or None, for base64 and binref buffers.
        gpu_transport: Only `none` is offered.
        device_exports: Reserved for GPU transports; unused.
        nonfinite: What plain numbers become that are infinite or NaN: `null` (stderr says where), or `literal`
            (`Infinity`, `-Infinity`, `NaN`, which strict parsers refuse). JSON buffers of arrays have null.
        complex_as: What plain complex numbers become: `text` (`1+2j`), or `object` (see `framing.complex_object`).

    Raises:
        ValueError: Unknown format, compression or transport.
        OSError: A file for `json+binref` cannot be written.
    """
    from pydantic import BaseModel
    from pydantic_core import PydanticSerializationError, to_json

    from tesseract_core.runtime.array_encoding import BUFFERS, Splice, encode_array, is_opaque
    from tesseract_core.runtime.array_encoding.binref import WRITE_ERROR
    from tesseract_core.runtime.nonfinite import with_null

    for what, value, offered in (
        ("output format", format, (*available_formats(), framing.FORMAT)),
        ("compression", compression or "none", available_compressions()),
        ("GPU transport", gpu_transport, available_gpu_transports()),
        ("form of infinities", nonfinite, NONFINITE),
        ("form of complex numbers", complex_as, COMPLEX),
    ):
        if value not in offered:
            raise ValueError(f"Unknown {what} {value!r}; use one of: {', '.join(offered)}")
    framed = format == framing.FORMAT
    splice, buffers = Splice(), framing.Buffers()
    context: dict[str, Any] = {
        "array_encoding": format.partition("+")[2] or "json",
        "compression": None if compression == "none" else compression,
        "__splice": splice,
        BUFFERS: buffers,
        framing.COMPLEX: framed or complex_as == "object",
    }

    def other_leaf(leaf: Any) -> Any:
        if hasattr(leaf, "__array__") or is_opaque(leaf):
            return encode_array(leaf, context)
        raise TypeError(f"{type(leaf).__name__} has no JSON form")

    if base_dir is not None:
        context["base_dir"] = os.fspath(base_dir)
    if binref_dir is not None:
        context["binref_dir"] = os.fspath(binref_dir)
    try:
        if isinstance(obj, BaseModel):
            text = obj.__pydantic_serializer__.to_json(
                obj, context=context, exclude_unset=True, by_alias=True, fallback=other_leaf
            )
        else:
            text = to_json(
                obj,
                context=context,
                by_alias=True,
                inf_nan_mode="constants",
                fallback=other_leaf,
            )
    except PydanticSerializationError:  # which has lost what it was caused by
        if isinstance(error := context.get(WRITE_ERROR), OSError):
            raise error from None
        raise
    if framed:
        return buffers.body(text)
    return splice.join(text if nonfinite == "literal" else with_null(text))


def is_url(path: PathLike) -> bool:
    """Whether `path` has a scheme (of more than one letter)."""
    return _URL.match(os.fspath(path)) is not None


def is_absolute_path(path: PathLike) -> bool:
    """Whether `path` is a URL or an absolute local path."""
    return is_url(path) or os.path.isabs(path)


def join_paths(*paths: PathLike) -> str:
    """Join paths; what precedes an absolute path or URL is dropped."""
    joined = ""
    for path in [os.fspath(path) for path in paths]:
        if is_absolute_path(path) or not joined:
            joined = path
        elif is_url(joined):
            joined = f"{joined.rstrip('/')}/{path}"
        else:
            joined = os.path.join(joined, path)
    return joined


def parent_path(path: PathLike) -> str:
    """Directory that contains `path`."""
    text = os.fspath(path)
    if not is_url(text):
        return str(Path(text).parent)
    scheme, _, rest = text.partition("://")
    return f"{scheme}://{posixpath.dirname(rest.rstrip('/')) or rest}"


def read_from_path(path: PathLike, offset: int = 0, length: int = -1) -> bytes:
    """Read `length` bytes (-1: all) from `offset` on; fewer where the file ends before."""
    with _open(path, "rb") as file:
        file.seek(offset) if offset else None
        return file.read(length)


def read_checked(url: str, offset: int = 0, length: int = -1) -> bytes:
    """`read_from_path` for a URL that a payload names: a redirect of its server is followed where `trust` allows it.

    Raises:
        RedirectRefused (a ValueError): Where it does not.
    """
    with _redirects_told(), _open(url, "rb", checked=True) as file:
        file.seek(offset) if offset else None
        return file.read(length)


def glob_checked(pattern: str) -> list[str]:
    """`expand_glob` for a URL that a payload names, as `read_checked`."""
    with _redirects_told():
        filesystem, inner = _filesystem(pattern, checked=True)
        return sorted(filesystem.unstrip_protocol(path) for path in filesystem.glob(inner))


@contextmanager
def _redirects_told() -> Iterator[None]:
    """Of a redirect that was refused, fsspec says that the file was not found."""
    try:
        yield
    except FileNotFoundError as error:
        if isinstance(error.__cause__, RedirectRefused):
            raise error.__cause__ from None
        raise


def cause_of(error: Exception) -> BaseException:
    """What kept a file from being read: of a URL that cannot be reached, fsspec says that it was not found."""
    return error.__cause__ or error if isinstance(error, FileNotFoundError) else error


def write_to_path(buffer: bytes, path: PathLike, append: bool = False) -> None:
    """Write (or append) bytes; parent directories are made."""
    if not is_url(path):
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    else:
        filesystem, inner = _filesystem(path)
        filesystem.makedirs(filesystem._parent(inner), exist_ok=True)
    with _open(path, "ab" if append else "wb") as file:
        file.write(buffer)


def replace_file(path: PathLike, content: bytes) -> None:
    """Write a local file in one step: nobody sees half of it, and none of it stays if that fails.

    Raises:
        OSError: It cannot be written.
    """
    target = os.fspath(path)
    temporary = os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, target)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def expand_glob(pattern: PathLike) -> list[str]:
    """Sorted absolute paths (URLs) of what matches a pattern with `*`, `?`, `[…]` and `**`."""
    if not is_url(pattern):
        return sorted(os.path.abspath(path) for path in glob.glob(os.fspath(pattern), recursive=True))
    filesystem, inner = _filesystem(pattern)
    return sorted(filesystem.unstrip_protocol(path) for path in filesystem.glob(inner))


def get_filesize(path: PathLike) -> int:
    """Size in bytes; 0 for what does not exist."""
    try:
        if not is_url(path):
            return os.path.getsize(path)
        filesystem, inner = _filesystem(path)
        return int(filesystem.size(inner) or 0)
    except FileNotFoundError:
        return 0


def _open(path: PathLike, mode: str, *, checked: bool = False) -> Any:
    if not is_url(path):
        return open(path, mode)
    import fsspec

    return fsspec.open(os.fspath(path), mode, **_options(path, checked)).open()


def _filesystem(url: PathLike, *, checked: bool = False) -> tuple[Any, str]:
    import fsspec

    return fsspec.core.url_to_fs(os.fspath(url), **_options(url, checked))


def _options(url: PathLike, checked: bool) -> dict[str, Any]:
    """Options for fsspec: a web server must not hold up a call for minutes, nor redirect it to where it likes."""
    if not os.fspath(url).lower().startswith(("http://", "https://")):
        return {}
    from aiohttp import ClientTimeout

    from tesseract_core.runtime.trust import REDIRECTS

    patience = ClientTimeout(total=300, sock_connect=HTTP_SILENCE, sock_read=HTTP_SILENCE)
    return {"client_kwargs": {"timeout": patience, "trace_configs": [aiohttp_trace(REDIRECTS if checked else None)]}}
