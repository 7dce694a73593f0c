"""Arrays that stay in files: return them where the schema says `Array`, and their data is never loaded.

With output format `json+binref` the caller gets the reference as it is; with any other format the array is loaded
(with a `RuntimeWarning`). Shape and dtype must be exactly those of the field.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tesseract_core.runtime.array_encoding.binref import DEFAULT_MAX_FILE_SIZE
from tesseract_core.runtime.array_encoding.decode import decode_array
from tesseract_core.runtime.array_encoding.dtypes import DTYPES
from tesseract_core.runtime.array_encoding.encode import encode_array
from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.file_interactions import is_absolute_path
from tesseract_core.runtime.paths import confine

Compression = Literal["lz4"] | None


class BinrefArray:
    """An array in a file below the output path. Made by `write`, `from_file` or `BinrefWriter.write`."""

    _encoded: dict[str, Any]
    _base_dir: str

    def __init__(self) -> None:
        raise RuntimeError("use BinrefArray.write, BinrefArray.from_file or BinrefWriter.write")

    @classmethod
    def _make(cls, encoded: dict[str, Any], base_dir: str) -> BinrefArray:
        self = cls.__new__(cls)
        self._encoded = encoded
        self._base_dir = base_dir
        return self

    @classmethod
    def write(cls, arr: Any, *, compression: Compression = None) -> BinrefArray:
        """Write an array into a file of its own in the output path."""
        return BinrefWriter(compression=compression).write(arr)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        shape: Sequence[int],
        dtype: str,
        *,
        offset: int = 0,
        compression: Compression = None,
        compressed_size: int | None = None,
    ) -> BinrefArray:
        """Refer to an array that is in a file already: C-ordered, little-endian, tightly packed.

        Args:
            path: The file, relative to the output path.
            shape: Shape of the array.
            dtype: Name of its dtype, such as "float64".
            offset: Where it begins, in bytes.
            compression: "lz4" if it is an LZ4 frame.
            compressed_size: Size of that frame in bytes.

        Raises:
            ValueError: The path is absolute, a URL or leads out of the output path; the file is missing or too small;
                the dtype is unknown; or `compression` and `compressed_size` do not go together.
        """
        name = os.fspath(path)
        if is_absolute_path(name):
            raise ValueError(f"{name!r} must be relative to the output path")
        if dtype not in DTYPES:
            raise ValueError(f"unknown dtype {dtype!r}; use one of: {', '.join(DTYPES)}")
        if compression not in (None, "lz4"):
            raise ValueError(f"unknown compression {compression!r}; use lz4")
        if (compression is None) != (compressed_size is None):
            raise ValueError("compression and compressed_size go together")
        base_dir = get_config().output_path
        file = confine(name, base_dir, what="file")
        length = math.prod(shape) * np.dtype(dtype).itemsize if compressed_size is None else compressed_size
        if offset < 0 or length < 0:
            raise ValueError("shape, offset and compressed_size must not be negative")
        if not file.is_file():
            raise ValueError(f"{name!r} is not a file in the output path")
        if (found := file.stat().st_size) < offset + length:
            raise ValueError(f"{name!r} has {found} bytes, too few for {length} at offset {offset}")
        data: dict[str, Any] = {"buffer": f"{Path(name).as_posix()}:{offset}", "encoding": "binref"}
        if compression is not None:
            data["buffer"] += f":{compressed_size}"
            data["compression"] = compression
        encoded = {"object_type": "array", "shape": tuple(shape), "dtype": dtype, "data": data}
        return cls._make(encoded, base_dir)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self._encoded["shape"])

    @property
    def dtype(self) -> str:
        """Name of its dtype."""
        return str(self._encoded["dtype"])

    @property
    def buffer(self) -> str:
        """Where it is: `<path relative to the output path>:<offset>[:<compressed size>]`."""
        return str(self._encoded["data"]["buffer"])

    def to_arraydict(self) -> dict[str, Any]:
        """The encoded array, as it appears in JSON."""
        return {**self._encoded, "data": dict(self._encoded["data"])}

    def load(self, context: Mapping[str, Any] | None = None) -> np.ndarray:
        """Read the array into memory.

        Args:
            context: `base_dir` says what the path is relative to; the output path by default.
        """
        return decode_array(self._encoded, {"base_dir": self._base_dir, **(context or {})})

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("an array in a file cannot be had without a copy")
        return self.load().astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"BinrefArray(shape={self.shape}, dtype={self.dtype!r}, buffer={self.buffer!r})"


class BinrefWriter:
    """Writes arrays one behind the other into files of the output path. May be shared by threads.

    Args:
        max_file_size: Begin a new file once the current one is larger than this, in bytes. An array is never split.
        compression: "lz4" compresses each array by itself.
    """

    def __init__(self, *, max_file_size: int = DEFAULT_MAX_FILE_SIZE, compression: Compression = None) -> None:
        if compression not in (None, "lz4"):
            raise ValueError(f"unknown compression {compression!r}; use lz4")
        self._options = {"array_encoding": "binref", "max_file_size": max_file_size, "compression": compression}
        self._dump: dict[str, Any] = {}
        self._file: Path | None = None
        self._end = 0
        self._lock = threading.Lock()

    def write(self, arr: Any) -> BinrefArray:
        """Append an array and return the reference to it."""
        base_dir = get_config().output_path
        with self._lock:
            # A writer may outlive a call, after which its file can be gone, or the output path another one.
            if self._file is None or self._file.parent != Path(base_dir) or not self._intact(self._file):
                self._dump = {**self._options, "base_dir": base_dir}
            encoded = encode_array(np.asarray(arr), self._dump)
            self._file = Path(base_dir, encoded["data"]["buffer"].partition(":")[0])
            self._end = self._file.stat().st_size
        return BinrefArray._make(encoded, base_dir)

    def _intact(self, file: Path) -> bool:
        return file.is_file() and file.stat().st_size == self._end
