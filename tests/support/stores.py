"""Real servers of data on loopback: S3 (moto), FTP (pyftpdlib), HTTP."""

from __future__ import annotations

import http.server
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def s3_server() -> Iterator[str]:
    """An S3 service; yields its endpoint URL."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        # What is stored belongs to the process, not to the server.
        reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
        urllib.request.urlopen(reset, timeout=10).close()
        server.stop()


@contextmanager
def s3_bucket(name: str) -> Iterator[Any]:
    """A bucket of an S3 service that this process and its children find by the environment; yields its file system."""
    import fsspec.config
    import s3fs

    with s3_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "aws-secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setitem(fsspec.config.conf, "s3", {"endpoint_url": endpoint})  # of this process, which has read it
        fs = s3fs.S3FileSystem(endpoint_url=endpoint, use_listings_cache=False, skip_instance_cache=True)
        fs.mkdir(name)
        yield fs


@contextmanager
def ftp_server(directory: Path) -> Iterator[str]:
    """An FTP server on a directory, for user `ann` with password `secret`; yields `ftp://ann:secret@host:port`."""
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    authorizer = DummyAuthorizer()
    authorizer.add_user("ann", "secret", str(directory), perm="elradfmwMT")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer, "banner": "ready"})
    server = ThreadedFTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        host, port = server.address
        yield f"ftp://ann:secret@{host}:{port}"
    finally:
        server.close_all()
        thread.join(10)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing about it."""

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def http_server(directory: Path, handler: type[http.server.BaseHTTPRequestHandler] | None = None) -> Iterator[str]:
    """A plain HTTP server on a directory, or with a handler of its own; yields its URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler or partial(Quiet, directory=str(directory)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
