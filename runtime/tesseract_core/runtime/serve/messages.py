"""What travels between the HTTP side and the code that computes: one announcement, then request heads and replies.

All are plain values, so that the same handler serves a compute process behind the queue and the in-process ASGI app.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson


@dataclass(frozen=True, slots=True)
class RequestHead:
    """Everything about a request that is not its body.

    `run_id` is one safe path component; `named` says that the client chose it. `accept` and `content_type` are the
    header values as sent, empty where absent.
    """

    endpoint: str
    run_id: str
    named: bool = False
    content_type: str = ""
    accept: str = ""

    def encode(self) -> bytes:
        return orjson.dumps((self.endpoint, self.run_id, self.named, self.content_type, self.accept))

    @classmethod
    def decode(cls, data: bytes) -> RequestHead:
        return cls(*orjson.loads(data))


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer whose body is complete in memory."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    def encode_head(self) -> bytes:
        return orjson.dumps((self.status, self.content_type, self.headers))


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a compute process says once: what it offers, or why it cannot start."""

    document: bytes = b""
    endpoints: tuple[str, ...] = ()
    error: str = ""

    def encode(self) -> bytes:
        return orjson.dumps((self.document.decode(), self.endpoints, self.error))

    @classmethod
    def decode(cls, data: bytes) -> Announcement:
        """Return what `data` says; a process that died in the middle of it says nothing."""
        try:
            document, endpoints, error = orjson.loads(data)
        except ValueError:
            return cls()
        return cls(document.encode(), tuple(endpoints), error)
