"""Says what it was given: one field for each kind of leaf, and a list of cases that each fill one of them."""

import datetime as dt
import uuid
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, JsonValue, RootModel
from tesseract_core.runtime import Array, Float32, Float64, Int32, Int64, UInt64
from tesseract_core.runtime.schema_types import Bool, Complex128
from typing_extensions import TypedDict


class Level(IntEnum):
    LOW = 1
    HIGH = 3


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    n: int = 0
    dt: float = 0.0
    flag: bool = False


class Ratio(RootModel[float]):
    pass


@dataclass
class Point:
    x: float
    n: int = 0


class Spot(NamedTuple):
    x: float
    n: int = 0


class Options(TypedDict):
    x: float


class Case(BaseModel):
    integer: int | None = None
    number: float | None = None
    flag: bool | None = None
    text: str | None = None
    pair: tuple[int, float] | None = None
    inner: Inner | None = None
    inners: list[Inner] | None = None
    level: Level | None = None
    colour: Colour | None = None
    one_or_two: Literal[1, 2] | None = None
    decimal: Decimal | None = None
    duration: dt.timedelta | None = None
    raw: bytes | None = None
    moment: dt.datetime | None = None
    day: dt.date | None = None
    name: uuid.UUID | None = None
    place: Path | None = None
    table: dict[int, float] | None = None
    named: dict[str, float] | None = None
    floats: list[float] | None = None
    integers: list[int] | None = None
    numbers: set[int] | None = None
    either: int | float | None = None
    yes_or_number: int | bool | None = None
    z: complex | None = None
    complexes: list[complex] | None = None
    ratio: Ratio | None = None
    point: Point | None = None
    spot: Spot | None = None
    options: Options | None = None
    f64: Float64 | None = None
    f32: Float32 | None = None
    i32: Int32 | None = None
    i64: Int64 | None = None
    u64: UInt64 | None = None
    bool_array: Bool | None = None
    c128: Complex128 | None = None
    f64s: Array[(None,), Float64] | None = None
    f32s: Array[(None,), Float32] | None = None
    i64s: Array[(None,), Int64] | None = None
    bools: Array[(None,), Bool] | None = None
    c128s: Array[(None,), Complex128] | None = None
    matrix: Array[(None, None), Float64] | None = None
    any_array: Array[..., None] | None = None
    number_or_array: float | Array[(None,), Float64] | None = None
    anything: Any = None
    anythings: dict[str, Any] | None = None
    json_value: JsonValue = None


class InputSchema(BaseModel):
    cases: list[Case]


class OutputSchema(BaseModel):
    seen: list[str]
    echo: list[Case]


def described(value: Any) -> str:
    """Type and exact value."""
    if isinstance(value, np.ndarray):
        return f"array({value.dtype}, {value.shape}, {value.tolist()})"
    if isinstance(value, np.generic):
        return f"{value.dtype}({value.item()!r})"
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, BaseModel):
        return f"model({', '.join(f'{name}={described(item)}' for name, item in value)})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{described(key)}: {described(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(described, value))})"
    if isinstance(value, set):
        return f"set({', '.join(sorted(map(described, value)))})"
    if isinstance(value, dt.datetime):
        return f"datetime({value.isoformat()})"
    if isinstance(value, Point):
        return f"Point({described(value.x)}, {described(value.n)})"
    return f"{type(value).__name__}({value!r})"


def apply(inputs: InputSchema) -> OutputSchema:
    """Describe each case."""
    seen = []
    for case in inputs.cases:
        given = [name for name in Case.model_fields if name in case.model_fields_set]
        seen.append(" ".join(f"{name}={described(getattr(case, name))}" for name in given))
    return OutputSchema(seen=seen, echo=[case.model_dump(exclude_unset=True) for case in inputs.cases])
