"""`TesseractReference`: a field that names another Tesseract and can be called like one."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from tesseract_core.client.loopback import ADVICE, means_this_container
from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.trust import REDIRECTS, check_url, is_closed

if TYPE_CHECKING:
    from tesseract_core import Tesseract


class Reference(NamedTuple):
    """Where a Tesseract is to be found: `ref` is a path of a `tesseract_api.py`, an image name or a URL."""

    type: Literal["api_path", "image", "url"]
    ref: str


class TesseractReference:
    """Another Tesseract, given as `{"type": "api_path" | "image" | "url", "ref": "..."}`.

    Has the attributes of `tesseract_core.Tesseract`: `inputs.solver.apply({...})`. Nothing is imported, started or
    connected before the first of them is used; a container that was started ends with this object.

    An HTTP request may name only the kinds that its operator allows (`allowed_references`, by default `url`), and only
    URLs below `allowed_url_prefixes`; a server there may redirect only to such URLs.
    """

    def __init__(self, tesseract: Tesseract | None, reference: Reference | None = None) -> None:
        """Wrap `tesseract`, or find it by `reference` when it is first used."""
        self._tesseract = tesseract
        self._reference = reference
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        # Those who only want to know what this is (copy, pickle, what looks for arrays) must not start a container.
        if name.startswith("_") or (self._tesseract is None and not _is_attribute(name)):
            raise AttributeError(f"a Tesseract has no attribute {name!r}")
        return getattr(self._found(), name)

    def __deepcopy__(self, memo: dict[int, Any]) -> TesseractReference:
        return self  # what is at the other end cannot be copied

    def __repr__(self) -> str:
        return f"TesseractReference({self._reference or self._tesseract!r})"

    def _found(self) -> Tesseract:
        with self._lock:
            if self._tesseract is None:
                assert self._reference is not None
                self._tesseract = _find(self._reference)
            return self._tesseract

    @classmethod
    def _validate(cls, value: Any) -> TesseractReference:
        if isinstance(value, cls):
            return value
        if not isinstance(value, dict) or value.keys() != {"type", "ref"} or not isinstance(value["ref"], str):
            raise ValueError('a Tesseract is named by {"type": "api_path", "image" or "url", "ref": "<text>"}')
        if value["type"] not in ("api_path", "image", "url"):
            raise ValueError(f"unknown type {value['type']!r}; give api_path, image or url")
        reference = Reference(**value)
        _check_allowed(reference)
        if reference.type == "url":
            _check_loopback(reference.ref)
        return cls(None, reference)

    def _serialize(self) -> dict[str, str]:
        if self._reference is None:
            raise ValueError(
                "a TesseractReference that was made in code cannot be serialised: nothing names its Tesseract"
            )
        return self._reference._asdict()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(cls._serialize)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "title": "TesseractReference",
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": ["api_path", "image", "url"], "description": "What ref is."},
                "ref": {"type": "string", "description": "Path of a tesseract_api.py, image name, or URL."},
            },
            "required": ["type", "ref"],
            "additionalProperties": False,
            "x-tesseract-type": "TesseractReference",
        }


def _is_attribute(name: str) -> bool:
    from tesseract_core import Tesseract

    return hasattr(Tesseract, name)


def _check_allowed(reference: Reference) -> None:
    if is_closed() and reference.type not in get_config().allowed_references:
        raise ValueError(
            f"a request may not name a Tesseract by {reference.type} here; "
            "its operator allows that with TESSERACT_ALLOWED_REFERENCES"
        )
    if reference.type == "url":
        check_url(_full(reference.ref))


def _full(url: str) -> str:
    return url if "://" in url else f"http://{url}"


def _check_loopback(url: str) -> None:
    """Refuse a loopback address inside of a container where nothing listens: it hardly means the container itself."""
    if not means_this_container(_full(url)):
        return
    parts = urlsplit(_full(url))
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=1).close()
    except OSError:
        raise ValueError(f"{url} is this container itself, where nothing listens; {ADVICE}") from None


def _find(reference: Reference) -> Tesseract:
    from tesseract_core import Tesseract

    match reference.type:
        case "url":
            from tesseract_core.client.http import HttpTransport

            return Tesseract._make(transport=HttpTransport(reference.ref, redirects=REDIRECTS), any_format=True)
        case "api_path":
            return Tesseract.from_tesseract_api(Path(reference.ref))
        case "image":
            if not hasattr(Tesseract, "from_image"):
                raise ImportError(
                    f"running the image {reference.ref!r} needs the host package: pip install tesseract-core"
                )
            tesseract = Tesseract.from_image(reference.ref)
            tesseract.serve()
            return tesseract
