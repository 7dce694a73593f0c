"""`LazySequence[T]`: a field whose items are read from files, one at a time, when they are used."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationInfo
from pydantic_core import CoreSchema, core_schema, from_json

from tesseract_core.runtime.array_encoding import ALLOWANCE
from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.file_interactions import (
    expand_glob,
    glob_checked,
    is_url,
    parent_path,
    read_checked,
    read_from_path,
)
from tesseract_core.runtime.trust import check_url, is_closed, network_payload, readable_file, readable_roots

T = TypeVar("T")


class LazySequence(Sequence[T], Generic[T]):
    """A sequence that fetches an item each time it is asked for one.

    As a field type, `LazySequence[T]` accepts a sequence of items, or a string `@pattern` that names JSON files, one
    per item, with the wildcards of a shell (`*`, `?`, `[...]`, `**`). Matching files are sorted by path; none is an
    empty sequence. Each access reads and validates the item anew. Encoded arrays in a file may point to binary files
    beside it.

    Patterns are relative to the input path. In a request they stay below it, or below a directory that the operator
    allows (`binref_roots`), and URLs need to be allowed, too (`allowed_url_prefixes`). On the command line and in
    Python they may lead anywhere, and one that matches nothing in the input path is tried in the working directory.
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
        # Made at first use: most sequences come inline.
        adapter = cache(lambda: TypeAdapter(item_type))
        place = cache(lambda: _place(item_type))
        items = handler.generate_schema(list[item_type])  # type: ignore[valid-type]

        def from_files(pattern: str, info: ValidationInfo) -> LazySequence[Any]:
            closed = is_closed()

            def read(path: str) -> Any:
                directory = parent_path(path)
                # Items are read one after the other, long after the request was: they count for themselves.
                context = {**(info.context or {}), "base_dir": directory, "binref_dir": None, ALLOWANCE: None}
                remote = is_url(path)  # what others have written may name what lies beside it
                try:
                    with network_payload(closed):
                        content = _read(path)
                    with network_payload(closed or remote, urls=(directory,) if remote and not closed else ()):
                        return adapter().validate_python(place()(from_json(content), context), context=context)
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


def _place(item_type: Any) -> Callable[[Any, Any], Any]:
    from tesseract_core.runtime.schema_generation.places import Place

    return Place(item_type)


def _expand(pattern: str) -> list[str]:
    """Absolute paths (or URLs) of the files that a pattern matches, sorted."""
    if is_url(pattern):
        check_url(pattern)
        found = glob_checked(pattern)
        for url in found:  # a page may link to anywhere
            check_url(url)
        return found
    input_path, confined = get_config().input_path, readable_roots() is not None
    found = _matches(pattern, input_path, confined)
    return found if found or confined else _matches(pattern, os.getcwd(), confined)


def _matches(pattern: str, base: str, confined: bool) -> list[str]:
    parts = Path(pattern.removeprefix(base + os.sep)).parts  # the base itself may have wildcard characters in its name
    fixed = list(takewhile(lambda part: not glob.has_magic(part), parts))
    wild = parts[len(fixed) :]
    if confined and ".." in wild:
        raise ValueError(f"pattern {pattern!r} goes up ('..') behind a wildcard; give a pattern without that")
    # Not the path that is returned here: keys keep the names that were matched, so that binary files which stand
    # beside a symbolic link are found.
    readable_file(os.path.join(*fixed) if fixed else "", base, what="directory" if wild else "file")
    start = os.path.abspath(os.path.join(base, *fixed))
    matched = expand_glob(os.path.join(glob.escape(start), *wild))
    found = [path for path in matched if not os.path.isdir(path)]
    for path in found:
        readable_file(_shown(path, base), base)
        if not os.path.isfile(path):  # to leave it out would compute with less than the caller has
            raise ValueError(
                f"{_shown(path, base)!r} matches {pattern!r}, but is no file, perhaps a link that leads nowhere; "
                "fetch what it stands for (dvc pull, git annex get), or give a pattern without it"
            )
    return found


def _read(path: str) -> bytes:
    """Contents of a file that `_expand` named. What is allowed may have changed since, so it is checked again."""
    if is_url(path):
        check_url(path)
        return read_checked(path)
    input_path = get_config().input_path
    return read_from_path(readable_file(_shown(path, input_path), input_path))


def _shown(path: str, base: str) -> str:
    """Relative to `base` if it is below: clients need not know where that is."""
    relative = os.path.relpath(path, base)
    return path if relative.startswith("..") else relative
