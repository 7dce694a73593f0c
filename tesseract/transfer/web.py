"""What is peculiar to HTTP: there are no directories, only pages of links, and servers that take their time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

SILENCE = 60.0  # seconds for which a server may say nothing


def is_web(url: str) -> bool:
    """Whether a URL, or a path in fsspec's HTTP file system, is of HTTP."""
    return url.lower().startswith(("http://", "https://"))


def options(scheme: str) -> dict[str, Any]:
    """Options for fsspec's file system: proxies and `~/.netrc` as for other tools, and time for large files.

    A server may redirect to another, which then sees no credentials of the user's.
    """
    from aiohttp import ClientTimeout
    from fsspec.config import conf
    from tesseract_core.redirects import aiohttp_trace

    patience = ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE)
    configured = conf.get(scheme, {}).get("client_kwargs", {})
    ours = {"trust_env": True, "timeout": patience, "trace_configs": [aiohttp_trace()]}
    return {"client_kwargs": {**ours, **configured}}


def headers(fs: Any, **more: str) -> dict[str, str]:
    """Those that the user has configured for fsspec, and ours: what is listed by its size must come as it is."""
    return {**fs.kwargs.get("headers", {}), "Accept-Encoding": "identity", **more}


def links(fs: Any, page: str) -> Iterator[tuple[str, str]]:
    """What a page of files links to below itself: name, which ends with `/` if it is a page again, and URL.

    Links that lead elsewhere, or to the page itself in another order, are left out.
    """
    base = _path(page)
    for link in _hrefs(fs.cat_file(page).decode(errors="replace")):
        url = urljoin(page, link.strip()).partition("#")[0]
        name = unquote(_path(url)[len(base) :])
        if name and _path(url).startswith(base) and urlsplit(url)[:2] == urlsplit(page)[:2]:
            yield name, url


def is_page(url: str) -> bool:
    """Whether a URL is a page of links to files; else it is a file."""
    return _path(url).endswith("/")


def is_failure(error: BaseException) -> bool:
    """Whether an error says that no answer came, or none that could be understood."""
    from aiohttp import ClientError

    return isinstance(error, ClientError | OSError)


def file_name(url: str) -> str:
    """The name of the file that a URL stands for; its query is none of the name."""
    return unquote(_path(url).rpartition("/")[2]) or "index"


def _path(url: str) -> str:
    return urlsplit(url).path or "/"


def _hrefs(text: str) -> list[str]:
    from html.parser import HTMLParser

    found: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "a":
                found.extend(value for name, value in attrs if name == "href" and value)

    Links().feed(text)
    return found
