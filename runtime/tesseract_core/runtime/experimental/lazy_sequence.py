"""`LazySequence[T]`: a field whose items are read from files, one at a time, when they are used."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationInfo
from pydantic_core import CoreSchema, core_schema, from_json

from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.file_interactions import expand_glob, is_url, parent_path, read_from_path
from tesseract_core.runtime.paths import confine
from tesseract_core.runtime.trust import check_url, from_network, network_payload

T = TypeVar("T")


class LazySequence(Sequence[T], Generic[T]):
    """A sequence that fetches an item each time it is asked for one.

    As a field type, `LazySequence[T]` accepts a sequence of items, or a string `@pattern` that names JSON files, one
    per item, with the wildcards of a shell (`*`, `?`, `[...]`, `**`). Matching files are sorted by path; none is an
    empty sequence. Each access reads and validates the item anew. Encoded arrays in a file may point to binary files
    beside it.

    Patterns are relative to the input path and stay below it. On the command line and in Python, a pattern that matches
    nothing there is tried in the working directory. URLs need the operator's leave (`allowed_url_prefixes`).
    """

    def __init__(self, keys: Iterable[Any], getter: Callable[[Any], T]) -> None:
        """Make a sequence of `getter(key)` for each of `keys`."""
        self.keys = list(keys)
        self.getter = getter

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> T:  # type: ignore[override]
        if isinstance(index, slice):
            raise TypeError("a LazySequence cannot be sliced; ask for one item at a time")
        return self.getter(self.keys[index])

    def __iter__(self) -> Iterator[T]:
        return map(self.getter, self.keys)

    def __repr__(self) -> str:
        return f"LazySequence(keys={self.keys!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if not get_args(source):
            raise NotImplementedError("LazySequence needs the type of its items, as in LazySequence[float]")
        (item_type,) = get_args(source)
        adapter = cache(lambda: TypeAdapter(item_type))  # made at first use: most sequences come inline
        items = handler.generate_schema(list[item_type])  # type: ignore[valid-type]

        def from_files(pattern: str, info: ValidationInfo) -> LazySequence[Any]:
            served = from_network()

            def read(path: str) -> Any:
                context = {**(info.context or {}), "base_dir": parent_path(path), "binref_dir": None}
                try:
                    with network_payload(served):
                        return adapter().validate_python(from_json(_read(path)), context=context)
                except ValueError as error:
                    error.add_note(f"in {path}")
                    raise

            return LazySequence(_expand(pattern), read)

        def from_list(values: list[Any]) -> LazySequence[Any]:
            return LazySequence(range(len(values)), values.__getitem__)

        def from_parsed(value: str | list[Any], info: ValidationInfo) -> LazySequence[Any]:
            return from_files(value[1:], info) if isinstance(value, str) else from_list(value)

        def validate(
            value: Any, validate_list: core_schema.ValidatorFunctionWrapHandler, info: ValidationInfo
        ) -> LazySequence[Any]:
            if isinstance(value, str):
                if not value.startswith("@"):
                    raise ValueError("a string must be '@' and a pattern of file names, such as '@data/*.json'")
                return from_files(value[1:], info)
            if isinstance(value, LazySequence):
                fetch = value.getter
                return LazySequence(value.keys, lambda key: adapter().validate_python(fetch(key), context=info.context))
            return from_list(validate_list(list(value) if isinstance(value, Sequence) else value))

        parsed = core_schema.union_schema([items, core_schema.str_schema(pattern="^@")])
        return core_schema.json_or_python_schema(
            json_schema=core_schema.with_info_after_validator_function(from_parsed, parsed),
            python_schema=core_schema.with_info_wrap_validator_function(validate, items),
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda sequence, serialize_list: serialize_list(list(sequence)), schema=items
            ),
        )


def _expand(pattern: str) -> list[str]:
    """Absolute paths (or URLs) of the files that a pattern matches, sorted."""
    if is_url(pattern):
        check_url(pattern)
        return expand_glob(pattern)
    refusal = None
    for root in _roots():
        try:
            if found := _files_below(root, pattern):
                return found
        except ValueError as error:
            # A pattern that is fine in the input path and matches nothing there may well lead out of the next root.
            refusal = refusal or (error if root == get_config().input_path else None)
    if refusal is not None:
        raise refusal
    return []


def _roots() -> list[str]:
    """Directories that patterns may lead into, in the order in which they are tried."""
    input_path = get_config().input_path
    return [input_path] if from_network() else [input_path, os.getcwd()]


def _files_below(root: str, pattern: str) -> list[str]:
    parts = Path(pattern.removeprefix(root + os.sep)).parts  # the root itself may have wildcard characters in its name
    fixed = list(takewhile(lambda part: not glob.has_magic(part), parts))
    wild = parts[len(fixed) :]
    if ".." in wild:
        raise ValueError(f"pattern {pattern!r} goes up ('..') behind a wildcard; give a pattern without that")
    # Not the path that `confine` returns: keys keep the names that were matched, so that binary files which stand
    # beside a symbolic link are found.
    confine(Path(*fixed), root, what="pattern")
    start = os.path.abspath(os.path.join(root, *fixed))
    found = [path for path in expand_glob(os.path.join(glob.escape(start), *wild)) if os.path.isfile(path)]
    for path in found:
        confine(os.path.relpath(path, root), root, what="file")  # relative: clients need not know where the root is
    return found


def _read(path: str) -> bytes:
    """Contents of a file that `_expand` named. Links may have changed since, so it is checked again."""
    if is_url(path):
        return read_from_path(path)
    for root in _roots():
        with suppress(ValueError):
            return read_from_path(str(confine(path, root)))
    raise ValueError(f"{os.path.basename(path)} no longer lies below the input path")
