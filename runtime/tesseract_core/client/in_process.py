"""Transport into this very process: the user's module is imported here and its endpoints are called directly."""

from __future__ import annotations

import functools
import os
import threading
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tesseract_core.client import codec
from tesseract_core.client.encoding import Encoding
from tesseract_core.client.logs import LogSink
from tesseract_core.client.temporary import temporary_directory
from tesseract_core.client.transport import COMPUTE_ENDPOINTS, Transport

StrPath = str | os.PathLike[str]


class InProcessTransport(Transport):
    """Runs a Tesseract in this process, under a runtime configuration of its own.

    Args:
        tesseract_api: Path of the API module, or the imported module.
        input_path: Base of relative input paths; the working directory by default.
        output_path: Where runs go; by default a temporary directory that lives as long as this object.
        output_format: Recorded in the configuration; results are never encoded.
        config: Further fields of the runtime's configuration.

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: It is no file, cannot be imported, or is no complete API.
    """

    negotiates = False

    def __init__(
        self,
        tesseract_api: StrPath | ModuleType,
        input_path: StrPath | None,
        output_path: StrPath | None,
        output_format: str,
        config: Mapping[str, Any],
    ) -> None:
        self._neighbours: Callable[[], AbstractContextManager[None]] = nullcontext
        if output_path is None:
            output_path = temporary_directory(self, "tesseract_output_")
        settings = {
            "debug": True,
            "output_format": output_format,
            "input_path": str(Path(input_path or ".").resolve()),
            "output_path": str(Path(output_path).resolve()),
            **config,
        }
        if not isinstance(tesseract_api, ModuleType):
            path = Path(tesseract_api).resolve(strict=True)
            if not path.is_file():
                raise RuntimeError(f"Tesseract API path {path} is not a file.")
            settings["api_path"] = str(path)
            tesseract_api = _load(path)
            self._neighbours = _neighbours(path)
        self._module = tesseract_api
        self.output_path = self._output_path = Path(settings["output_path"])
        self._config = _snapshot(settings)
        # User code may assume that it is never entered twice at once; it may well call itself.
        self._lock = threading.RLock()
        with self._configured():
            from tesseract_core.runtime.core import check_tesseract_api, create_endpoints

            try:
                check_tesseract_api(self._module)
            except TypeError as error:
                where = settings.get("api_path", self._module.__name__)
                raise RuntimeError(f"Cannot load Tesseract API from {where}: {error}") from error
            self._endpoints = {endpoint.__name__: endpoint for endpoint in create_endpoints(self._module)}

    def call(
        self,
        endpoint: str,
        payload: Any = None,
        *,
        run_id: str | None = None,
        encoding: Encoding | None = None,
        log_sink: LogSink | None = None,
    ) -> Any:
        from pydantic import BaseModel

        from tesseract_core.runtime.core import get_input_schema
        from tesseract_core.runtime.mpa import start_run
        from tesseract_core.runtime.paths import confine, safe_run_id
        from tesseract_core.runtime.profiler import Profiler

        if endpoint == "health":
            return {"status": "ok"}
        if endpoint not in self._endpoints:
            raise RuntimeError(f"Endpoint {endpoint} not found in Tesseract API.")
        function = self._endpoints[endpoint]
        run_name = f"run_{safe_run_id(run_id or str(uuid.uuid4()))}"
        run_dir = confine(run_name, self._output_path, what="run id")
        with self._lock, self._configured(), self._neighbours():
            request = get_input_schema(function).model_validate(_own_arrays(payload))
            try:
                if endpoint in COMPUTE_ENDPOINTS:
                    with start_run(run_dir, log_sink, endpoint):
                        with Profiler() as profiler:
                            result = function(request)
                        profiler.print_stats()
                else:
                    result = function(request)
            except (Exception, SystemExit) as error:  # what ends a Tesseract's call must not end its caller
                raise RuntimeError(
                    f"{traceback.format_exc()}\nError running Tesseract API {endpoint}: {error}"
                ) from None
            # As by URL, keys are aliases and paths are text.
            if isinstance(result, BaseModel):
                return result.model_dump(by_alias=True, context={"paths_as_text": True})
            return result

    def openapi_schema(self) -> dict[str, Any]:
        from tesseract_core.runtime.config import get_config
        from tesseract_core.runtime.openapi import build_openapi

        with self._configured():
            schema: dict[str, Any] = build_openapi(list(self._endpoints.values()), get_config())
            return schema

    def _configured(self) -> Any:
        from tesseract_core.runtime.config import override_config

        return override_config(self._config)


def _load(path: Path) -> ModuleType:
    from tesseract_core.runtime.core import load_module_from_path

    try:
        module: ModuleType = load_module_from_path(path)
    except Exception as error:
        raise RuntimeError(f"Cannot load Tesseract API from {path}: {error}") from error
    return module


def _neighbours(path: Path) -> Callable[[], AbstractContextManager[None]]:
    """For a call: what lets Python programs that it starts find the modules beside `path`, if there are any."""
    from tesseract_core.user_code.load import neighbours_for_children
    from tesseract_core.user_code.reserved import modules_in

    if modules_in(str(path.parent)) <= {path.stem}:
        return nullcontext
    return functools.partial(neighbours_for_children, str(path.parent))


def _snapshot(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    from tesseract_core.runtime.config import RuntimeConfig, override_config, snapshot_config, update_config

    fields = RuntimeConfig.model_fields
    given = {  # None is the default of the setting, as for a server
        name: fields[name].get_default(call_default_factory=True) if value is None and name in fields else value
        for name, value in settings.items()
    }
    with override_config(None):
        update_config(**given)
        snapshot: Mapping[str, Any] = snapshot_config()
        return snapshot


def _own_arrays(node: Any) -> Any:
    """The payload with copies of its arrays, so that user code which works in place never touches the caller's."""
    if node is None or isinstance(node, str | bytes):
        return node.item() if isinstance(node, np.character) else node
    if isinstance(node, bytearray | memoryview):
        return bytes(node)  # as by URL: text, no list of numbers
    if isinstance(node, Mapping):
        return {key: _own_arrays(value) for key, value in node.items()}
    if isinstance(node, np.ndarray):
        return node.copy()
    if isinstance(node, np.generic) or hasattr(node, "__cuda_array_interface__"):  # the latter stays on its device
        return node
    if hasattr(node, "__array__"):
        return codec.to_numpy(node).copy()
    if isinstance(node, Sequence):
        return [_own_arrays(item) for item in node]
    return node
