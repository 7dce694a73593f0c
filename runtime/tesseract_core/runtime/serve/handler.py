"""One request in, one reply out: parse, validate, negotiate, run inside a run, encode.

No sockets, no event loop: the compute processes and the in-process ASGI app call the same `Handler`.
"""

from __future__ import annotations

import errno
import json
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any, Self

import orjson
import pydantic_core
from pydantic import BaseModel, ValidationError

from tesseract_core import framing
from tesseract_core.runtime.array_encoding import ALLOWANCE, BUFFERS, Allowance
from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.core import create_endpoints, get_input_schema
from tesseract_core.runtime.file_interactions import output_to_bytes
from tesseract_core.runtime.mpa import serve_run
from tesseract_core.runtime.openapi import build_openapi
from tesseract_core.runtime.profiler import Profiler
from tesseract_core.runtime.serve import errors, guards
from tesseract_core.runtime.serve.messages import Reply, RequestHead
from tesseract_core.runtime.serve.negotiation import Encoding, NotAcceptable, negotiate, negotiate_numbers
from tesseract_core.runtime.serve.queue import Message
from tesseract_core.runtime.trust import network_payload
from tesseract_core.runtime.user_module import explained, get_tesseract_api

# These answer in plain JSON whatever the client accepts, and their runs have no name.
_PLAIN_JSON = frozenset({"abstract_eval", "test"})


class _Refused(Exception):
    """The request cannot be run; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


class CannotGoOn(BaseException):
    """This process cannot run calls any more, through no fault of the call at hand. The cause says why."""


# What user code takes from a whole process: descriptors (all of them, or ours), memory, threads.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.EBADF, errno.ENOMEM, errno.EAGAIN})


class Handler:
    """Runs the endpoints of one user module, one at a time."""

    def __init__(self, api_module: ModuleType) -> None:
        config = get_config()
        self._debug = config.debug
        # Twice, as an array may be decoded for more than one alternative of a union.
        self._expanded = 2 * max(config.max_body_size, guards.body_limit(0))
        self._from_files = guards.memory_limit()
        offered = [fn for fn in create_endpoints(api_module) if fn.__name__ != "test" or config.debug]
        self.document = orjson.dumps(build_openapi(offered, config))
        self._functions = {fn.__name__: fn for fn in offered if fn.__name__ != "health"}
        self._schemas: dict[str, type[BaseModel]] = {name: get_input_schema(fn) for name, fn in self._functions.items()}

    @classmethod
    def load(cls) -> Self:
        """Import the user's module that the configuration names.

        Raises:
            ImportError: It cannot be imported; the cause is what it raised.
            NotATesseract: It lacks something, or a schema in it cannot be served.
        """
        module = get_tesseract_api()
        with explained():
            return cls(module)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Names of the endpoints that take a POST."""
        return tuple(self._functions)

    def answer(self, request: Message, begin: Callable[[RequestHead], None] | None = None) -> Message:
        """Return the reply to one request; the request is closed as soon as it is read. `begin` hears of it first.

        Raises `CannotGoOn`.
        """
        head = RequestHead.decode(request.head())
        if begin is not None:
            begin(head)
        body = request.body()
        request.close()
        reply = self(head, body)
        message = Message(reply.encode_head())
        message.write(reply.body)
        return message

    def __call__(self, head: RequestHead, body: bytes) -> Reply:
        """Return the answer to one request; raises nothing that user code may raise, but maybe `CannotGoOn`."""
        with network_payload():
            try:
                data, context = _parse(head.content_type, body)
                context[ALLOWANCE] = Allowance(self._expanded, self._from_files)
                payload = self._validate(head, data, context)
                encoding = self._negotiate(head)
            except _Refused as refusal:
                return refusal.reply
            except BaseException:  # a validator of the user's that does not raise what validators raise
                return self._failure(head)
            return self._run(head, payload, encoding)

    def _validate(self, head: RequestHead, data: Any, context: dict[str, Any]) -> BaseModel:
        try:
            return self._schemas[head.endpoint].model_validate(data, context=context)
        except ValidationError as error:
            raise _Refused(errors.validation_error(error)) from None

    @staticmethod
    def _negotiate(head: RequestHead) -> Encoding:
        config = get_config()
        default = Encoding(config.output_format, config.compression, config.nonfinite)
        if head.endpoint in _PLAIN_JSON:
            return negotiate_numbers(head.accept, default)
        try:
            return negotiate(head.accept, default)
        except NotAcceptable as error:
            raise _Refused(errors.detail(406, error.detail)) from None

    def _run(self, head: RequestHead, payload: BaseModel, encoding: Encoding) -> Reply:
        recorded = head.endpoint not in _PLAIN_JSON
        raised: BaseException | None = None
        try:
            with serve_run(head.run_id, named=head.named and recorded, endpoint=head.endpoint) as run:
                try:
                    return self._compute(head, payload, encoding)
                except CannotGoOn:
                    raise
                except BaseException as error:
                    # User code may exit, or cancel something; signals never interrupt a call.
                    raised = error
                    if not recorded:
                        raise
                    run.fail()  # by hand, because the run's log is to tell why
                    return self._failure(head)
        except CannotGoOn:
            raise
        except BaseException as error:  # also of the run: an unwritable directory, an unreachable MLflow server
            if error is not raised and _is_exhaustion(error):
                raise CannotGoOn from error
            return self._failure(head)

    def _compute(self, head: RequestHead, payload: BaseModel, encoding: Encoding) -> Reply:
        with Profiler() as profiler:
            result = self._functions[head.endpoint](payload)
        profiler.print_stats()
        try:
            content = output_to_bytes(
                result,
                encoding.format,
                base_dir=get_config().output_path,
                binref_dir=f"run_{head.run_id}",
                compression=encoding.compression,
                nonfinite=encoding.nonfinite,
                complex_as=encoding.complex_as,
            )
        except OSError as error:
            if _is_exhaustion(error):
                raise CannotGoOn from error
            raise
        return Reply(200, content, f"application/{encoding.format}")

    def _failure(self, head: RequestHead) -> Reply:
        """Log the exception at hand, and return the 500 for it."""
        text = traceback.format_exc()
        print(f"{head.endpoint} failed in run {head.run_id}\n{text}", end="", file=sys.stderr, flush=True)
        return errors.server_error(text, html="text/html" in head.accept) if self._debug else errors.server_error()


def _is_exhaustion(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _EXHAUSTED
    return isinstance(error, MemoryError) or "can't start new thread" in str(error)


def _parse(content_type: str, body: bytes) -> tuple[Any, dict[str, Any]]:
    """Return the JSON value of a body, and what arrays in it may refer to."""
    if not body:
        raise _Refused(errors.body_error("missing", "Field required", None))
    if _media_type(content_type) == framing.MEDIA_TYPE:
        try:
            text, buffers = framing.split(body)
        except ValueError as error:
            raise _not_json((0,), str(error)) from None
        return _parse_json(text), {BUFFERS: buffers}
    return _parse_json(body) if _is_json(content_type) else body.decode(errors="replace"), {}


def _parse_json(body: bytes) -> Any:
    try:
        value = pydantic_core.from_json(body)
    except ValueError:
        value = _parse_strictly(body)
    if value is None:
        raise _Refused(errors.body_error("missing", "Field required", None))
    return value


def _parse_strictly(body: bytes) -> Any:
    """Parse again what the fast parser refused: the standard one takes a little more and says where it stopped."""
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        position, reason = error.pos, error.msg
    except UnicodeDecodeError as error:
        position, reason = error.start, f"Invalid {error.encoding}"
    except (ValueError, RecursionError) as error:
        position, reason = 0, str(error)
    raise _not_json((position,), reason)


def _not_json(at: tuple[int, ...], reason: str) -> _Refused:
    return _Refused(errors.body_error("json_invalid", "JSON decode error", {}, at=at, error=reason))


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_json(content_type: str) -> bool:
    media = _media_type(content_type)
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))
