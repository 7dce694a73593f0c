"""One rule for numbers: what a schema accepts in process it accepts by every other way, and user code sees the same.

`pytest -s tests/runtime/test_numbers_table.py -k the_table` prints the table: kinds of leaves, values, ways.
"""

from __future__ import annotations

import datetime as dt
import math
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from pydantic_core import to_jsonable_python
from support.served import Served, served
from tesseract_core import Tesseract
from tesseract_core.client import codec
from tesseract_core.runtime.core import load_module_from_path

API = Path(__file__).parent / "apis" / "leaves.py"
api = load_module_from_path(API)

NUMBERS: dict[str, Any] = {
    "3": 3,
    "1": 1,
    "0.1": 0.1,
    "True": True,
    "None": None,
    "2**53+1": 2**53 + 1,
    "2**63": 2**63,
    "2**64": 2**64,
    "1e308": 1e308,
    "5e-324": 5e-324,
    "inf": float("inf"),
    "-inf": float("-inf"),
    "nan": float("nan"),
    "-0.0": -0.0,
    "1+2j": 1 + 2j,
    "inf-0j": complex(float("inf"), -0.0),
    "np.int64(3)": np.int64(3),
    "np.int8(1)": np.int8(1),
    "np.uint64(max)": np.uint64(2**64 - 1),
    "np.float64(0.1)": np.float64(0.1),
    "np.float64(inf)": np.float64("inf"),
    "np.float32(0.1)": np.float32(0.1),
    "np.float16(nan)": np.float16("nan"),
    "np.longdouble(0.1)": np.longdouble(0.1),
    "np.bool(True)": np.bool_(True),
    "np.complex64(1j)": np.complex64(1j),
    "np.array(3)": np.array(3),
    "np.array(0.1)": np.array(0.1),
    "Level.HIGH": api.Level.HIGH,
}
WRAPPED: dict[str, Callable[[Any], Any]] = {
    "pair": lambda number: (1, number),
    "inner": lambda number: {"dt": number},
    "inners": lambda number: [{"n": number, "flag": np.bool_(True)}, api.Inner(n=2)],
    "table": lambda number: {1: number, np.int64(2): 0.5},
    "named": lambda number: {"a": number},
    "floats": lambda number: [1.0, number],
    "integers": lambda number: (number, 1),
    "numbers": lambda number: {number, 1},
    "complexes": lambda number: [number, 1j],
    "point": lambda number: {"x": 1.0, "n": number},
    "spot": lambda number: [number],
    "options": lambda number: {"x": number},
    **dict.fromkeys(("f64s", "f32s", "i64s", "bools", "c128s"), lambda number: [number, number]),
    "matrix": lambda number: [np.array([1.0, 2.0]), [number, 1]],
    "anythings": lambda number: {"a": [number]},
}
OTHERS: dict[str, list[Any]] = {
    "text": ["text", "", "NaN", "ü\N{GRINNING FACE}", np.str_("a"), b"bytes"],
    "inner": [api.Inner(n=3, dt=float("inf")), {}],
    "colour": [api.Colour.RED, "red"],
    "decimal": [Decimal("1.10"), Decimal("1e-400"), "0.1", Decimal(3), Decimal(2**70)],
    "number": [Decimal("0.1"), Decimal(3)],
    "duration": [Decimal(3), dt.timedelta.max, dt.timedelta(microseconds=-1)],
    "raw": [b"text", bytearray(b"x"), "text"],
    "moment": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(1, 1, 1, 0, 0, 0, 1)],
    "day": [dt.date(2026, 2, 3)],
    "name": [uuid.UUID(int=2**127)],
    "place": [Path("a/b"), "a/b"],
    "table": [{}, {True: 1.0}, {"7": 0.5}],
    "floats": [[], range(3), {0.5}],
    "numbers": [frozenset({2}), [1, 1]],
    "point": [api.Point(x=float("inf")), {"x": np.float64(1)}],
    "spot": [api.Spot(1.0, 2)],
    "f64s": [np.array([1, np.inf, np.nan, -0.0]), np.ones(2, "float16"), np.arange(3)[::-1], [], [np.array(1.0)] * 2],
    "f32s": [np.array([1e300]), np.zeros(0)],
    "i64s": [np.array([2**63], "uint64"), np.array([2**40]), [2**63], np.array([1.0])],
    "bools": [np.array([True])],
    "c128s": [np.array([complex("nan+infj")])],
    "matrix": [np.eye(2), [np.zeros(2), np.ones(2)]],
    "any_array": [np.zeros((2, 0)), np.array([1], ">i2"), [[1, 2], [3, 4]], [1.5, np.float64(2)]],
    "number_or_array": [np.ones(2), [1.0]],
    "anything": [np.array([1.5, np.inf]), {"a": np.ones(2)}, [np.array(2.5)], "text"],
    "json_value": [{"a": [1, None, "x"]}, [np.float64(1.5), {"b": np.int32(2)}]],
}
# At a place for anything, user code sees what JSON can say of these: a number, a complex number of NumPy, float64.
ANYTHING = ("anything", "anythings")
DIFFERENT_THERE = ("1+2j", "inf-0j", "np.longdouble(0.1)", "Level.HIGH")
# Kinds of leaves whose outputs are numbers, or arrays of them, by every way.
NUMERIC = (
    *("integer", "number", "flag", "inner", "inners", "named", "floats", "integers", "either", "yes_or_number"),
    *("z", "complexes", "ratio", "options", "f64", "f32", "i32", "i64", "u64", "bool_array", "c128", "f64s", "f32s"),
    *("i64s", "bools", "c128s", "matrix", "any_array", "number_or_array", *ANYTHING),
)
# In JSON text a complex number is text to a client that does not know the schema, and an array cannot say inf.
COMPLEX_IS_TEXT = ("rest", "cli")
ARRAYS_IN_TEXT = ("json", "files", "rest")


@dataclass(frozen=True, eq=False)
class Example:
    """A value for one kind of leaf, under the key by which it is given."""

    leaf: str
    value_name: str
    value: Any

    @property
    def case(self) -> dict[str, Any]:
        return {self.leaf: self.value}

    def __str__(self) -> str:
        return f"{self.leaf} = {self.value_name}"


def examples() -> list[Example]:
    found = []
    for name in api.Case.model_fields:
        wrap = WRAPPED.get(name, lambda number: number)
        for value_name, number in NUMBERS.items():
            if (name, value_name) == ("text", "Level.HIGH"):
                continue  # in process pydantic takes it for the text "3"; in JSON it is a number
            try:
                found.append(Example(name, value_name, wrap(number)))
            except TypeError:  # no key of a set
                continue
        found += [Example(name, repr(value).replace("\n", ""), value) for value in OTHERS.get(name, [])]
    return found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("numbers")


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[Served]:
    with served(API, directory) as running:
        yield running


@pytest.fixture(scope="module")
def in_process(directory: Path) -> Tesseract:
    return Tesseract.from_tesseract_api(api, output_path=directory)


Outcome = tuple[str, Any]
Way = Callable[[list[Example]], list[Outcome]]


def by(tesseract: Tesseract) -> Way:
    """The outcomes of all cases, from one call."""

    def call(cases: list[Example]) -> list[Outcome]:
        result = tesseract.apply({"cases": [example.case for example in cases]})
        return list(zip(result["seen"], result["echo"], strict=True))

    return call


def refusal_or_outcome(way: Way, example: Example) -> Outcome | str:
    try:
        return way([example])[0]
    except (ValidationError, TypeError, ValueError) as error:
        return f"refused: {error}"


def json_data(array: np.ndarray) -> dict[str, Any]:
    """What the contract calls the JSON encoding of an array, as somebody without our client writes it."""
    numbers = np.vectorize(str, otypes=[object])(array) if array.dtype.kind == "c" and array.size else array
    return {"buffer": numbers.tolist(), "encoding": "json"}


def text_of(cases: list[Example], encode_array: Any = None) -> bytes:
    return codec.encode({"inputs": {"cases": [example.case for example in cases]}}, encode_array)


@pytest.fixture(scope="module")
def ways(server: Served, in_process: Tesseract, directory: Path) -> dict[str, Way]:
    """Every way of calling but the one in process."""
    url = Tesseract.from_url(server.url)
    with_files = Tesseract.from_url(server.url, server_output_path=server.output)

    def rest(cases: list[Example]) -> list[Outcome]:
        accept = {"Accept": "application/json; nonfinite=literal"}
        answer = server.post("/apply", text_of(cases, json_data), accept)
        assert answer.status == 200, answer.body[:1000]
        result = codec.decode(answer.body)
        return list(zip(result["seen"], result["echo"], strict=True))

    def command_line(cases: list[Example]) -> list[Outcome]:
        options = ("--nonfinite", "literal", "--output-format", "json+base64")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TESSERACT_")}
        done = subprocess.run(
            [sys.executable, "-m", "tesseract_core.runtime", *options, "--output-path", "out", "apply", "@-"],
            input=text_of(cases),
            env={**environment, "TESSERACT_API_PATH": str(API)},
            cwd=directory,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-1000:]
        result = codec.decode(done.stdout)
        return list(zip(result["seen"], result["echo"], strict=True))

    def another(first: Tesseract, second: Tesseract) -> Way:
        """One Tesseract's output as the input of another."""

        def call(cases: list[Example]) -> list[Outcome]:
            echo = first.apply({"cases": [example.case for example in cases]})["echo"]
            given = [{case.leaf: values[case.leaf]} for case, values in zip(cases, echo, strict=True)]
            result = second.apply({"cases": given})
            return list(zip(result["seen"], result["echo"], strict=True))

        return call

    return {
        "url": by(url),
        "json": by(url.with_encoding(output_format="json")),
        "base64": by(url.with_encoding(output_format="json+base64")),
        "lz4": by(url.with_encoding(output_format="json+base64", compression="lz4")),
        "binref": by(with_files.with_encoding(output_format="json+binref")),
        "files": by(with_files),
        "rest": rest,
        "cli": command_line,
        "url>in": another(url, in_process),
        "in>url": another(in_process, url),
    }


def exact(value: Any) -> str:
    """Description of an output that is the same for an array of rank 0 and a scalar of NumPy."""
    if isinstance(value, np.ndarray):
        return api.described(value[()])
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {exact(item)}' for key, item in value.items())}}}"
    return f"[{', '.join(map(exact, value))}]" if isinstance(value, list) else api.described(value)


def expected_output(way: str, example: Example, value: Any) -> str:
    """What comes out by a way, given what comes out in process."""
    if way in COMPLEX_IS_TEXT:
        value = as_text(value, anything=example.leaf in ANYTHING)
    if way in ARRAYS_IN_TEXT:
        value = without_infinity(value)
    return exact(value)


def as_text(value: Any, anything: bool) -> Any:
    if type(value) is complex:
        return to_jsonable_python(value)
    if isinstance(value, np.float64) and anything:
        return float(value)
    if isinstance(value, dict):
        return {key: as_text(item, anything) for key, item in value.items()}
    return [as_text(item, anything) for item in value] if isinstance(value, list) else value


def without_infinity(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "f":
        return np.where(np.isinf(value), np.nan, value).astype(value.dtype)[()]
    if isinstance(value, dict):
        return {key: without_infinity(item) for key, item in value.items()}
    return [without_infinity(item) for item in value] if isinstance(value, list) else value


def test_the_table(in_process: Tesseract, ways: dict[str, Way]) -> None:
    table = {example: refusal_or_outcome(by(in_process), example) for example in examples()}
    accepted = [example for example, outcome in table.items() if not isinstance(outcome, str)]
    assert len(accepted) > 800
    found = {name: dict(zip(accepted, way(accepted), strict=True)) for name, way in ways.items()}
    wrong = []
    print(f"\n{'leaf':16} {'value':24} {'seen in process':40}", *(f"{way:8}" for way in found))
    for example in accepted:
        seen, output = table[example]
        verdicts = {}
        for way, outcomes in found.items():
            seen_there, output_there = outcomes[example]
            came_out, wanted = exact(output_there[example.leaf]), exact(output[example.leaf])
            if example.leaf in ANYTHING and example.value_name in DIFFERENT_THERE:
                verdicts[way] = "as JSON" if seen_there != seen else "same"
            elif seen_there != seen:
                verdicts[way] = "WRONG"
            elif example.leaf not in NUMERIC or came_out == wanted:
                verdicts[way] = "same"
            else:
                by_rule = came_out == expected_output(way, example, output[example.leaf])
                verdicts[way] = "as JSON" if by_rule else "WRONG"
            if verdicts[way] == "WRONG":
                wrong.append(f"{example} by {way}: {seen} -> {wanted} in process, {seen_there} -> {came_out}")
        row = f"{example.leaf:16} {example.value_name[:24]:24} {seen.partition('=')[2][:40]:40}"
        print(row, *(f"{verdict:8}" for verdict in verdicts.values()))
    assert not wrong, "\n".join(wrong[:50])


def post(server: Served, case: dict[str, Any], **headers: str) -> Any:
    body = codec.encode({"inputs": {"cases": [case]}})
    answer = server.post("/apply", body, headers)
    assert answer.status == 200, answer.body
    return answer


def test_infinity_is_null_in_json_and_that_is_said_once(server: Served) -> None:
    answer = post(server, {"inner": {"dt": math.inf}, "floats": [1.0, math.nan, -math.inf], "text": "NaN, Infinity"})
    (echo,) = answer.json["echo"]
    assert (echo["inner"]["dt"], echo["floats"], echo["text"]) == (None, [1.0, None, None], "NaN, Infinity")
    (line,) = [line for line in server.log.splitlines() if answer.headers["tesseract-run-id"] in line]
    assert "null in the JSON result: echo.[0].inner.dt, echo.[0].floats.[1], echo.[0].floats.[2]." in line
    assert "nonfinite=literal" in line


def test_infinity_is_a_literal_for_who_asks(server: Served) -> None:
    answer = post(server, {"number": -math.inf}, Accept="application/json+base64; nonfinite=literal")
    assert b'"number":-Infinity' in answer.body
    assert answer.headers["tesseract-run-id"] not in server.log
    refused = server.post("/apply", {"inputs": {"cases": []}}, {"Accept": "application/json; nonfinite=text"})
    assert refused.status == 406


@pytest.mark.parametrize(
    ("case", "error", "message"),
    [
        ({"integer": object()}, TypeError, "inputs.cases.[0].integer: a value of type object cannot be sent"),
        ({"raw": b"\xff"}, TypeError, "inputs.cases.[0].raw: bytes that are not UTF-8 text"),
        ({"table": {(1, 2): 1.0}}, TypeError, "inputs.cases.[0].table.{(1, 2)}: a key of type tuple"),
        ({"table": {1: 1.0, "1": 2.0}}, TypeError, "inputs.cases.[0].table.1: two keys of a mapping are both '1'"),
        ({"integer": 10**5000}, TypeError, "inputs.cases.[0].integer: an integer of more than 4300 digits"),
        ({"f64s": np.array(["x"])}, ValueError, "inputs.cases.[0].f64s: Cannot send an array of dtype <U1"),
        ({"integer": "\ud800"}, ValidationError, "Input should be a valid"),
    ],
    ids=["object", "bytes", "key", "keys", "long", "array", "surrogate"],
)
def test_what_cannot_travel_is_named(
    server: Served, case: dict[str, Any], error: type[Exception], message: str
) -> None:
    with Tesseract.from_url(server.url) as tesseract, pytest.raises(error) as caught:
        tesseract.apply({"cases": [case]})
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [np.ones(1), np.ones((1, 1)), np.ones(2), np.zeros(0)], ids=str)
def test_an_array_is_no_number(server: Served, in_process: Tesseract, value: np.ndarray) -> None:
    for tesseract in (in_process, Tesseract.from_url(server.url)):
        with pytest.raises(ValidationError, match="should be a valid number"):
            tesseract.apply({"cases": [{"number": value}]})


@pytest.mark.parametrize("value", [np.float64(3), np.ones(2)], ids=["scalar", "array"])
def test_an_array_is_no_model(server: Served, in_process: Tesseract, value: Any) -> None:
    for tesseract in (in_process, Tesseract.from_url(server.url)):
        with pytest.raises(ValidationError, match="should be a valid dictionary"):
            tesseract.apply({"cases": [{"inner": value}]})
    item = {"cases": [{"inner": 5}]}
    (error,) = server.post("/apply", {"inputs": item}).json["detail"]
    assert (error["type"], error["loc"]) == ("model_attributes_type", ["body", "inputs", "cases", 0, "inner"])


@pytest.mark.parametrize("value", [bytearray(b"ab"), memoryview(b"ab"), np.bytes_(b"ab")], ids=type)
def test_bytes_of_any_kind_are_bytes(server: Served, in_process: Tesseract, value: Any) -> None:
    for tesseract in (in_process, Tesseract.from_url(server.url)):
        assert "raw=bytes(b'ab')" in tesseract.apply({"cases": [{"raw": value}]})["seen"][0]
        assert "ab" in tesseract.apply({"cases": [{"anything": value}]})["seen"][0]


@pytest.mark.parametrize("value", [np.ma.array([1.0, 2.0], mask=[False, True]), np.ma.masked], ids=["array", "item"])
def test_a_lost_mask_is_said(server: Served, in_process: Tesseract, value: Any) -> None:
    for tesseract in (in_process, Tesseract.from_url(server.url)):
        with pytest.warns(UserWarning, match="loses its mask"):
            tesseract.apply({"cases": [{"any_array": value}]})


def test_models_of_the_user_are_inputs(server: Served, in_process: Tesseract) -> None:
    case = api.Case(inner=api.Inner(n=3, dt=math.inf), f64s=np.ones(2), ratio=api.Ratio(0.5))
    url = Tesseract.from_url(server.url)
    (seen,), (there,) = (tesseract.apply(api.InputSchema(cases=[case]))["seen"] for tesseract in (in_process, url))
    assert seen == there
    assert "inner=model(n=int(3), dt=float(inf), flag=bool(False))" in seen


def test_thousands_of_errors_are_counted(server: Served) -> None:
    body = {"inputs": {"cases": [], **{f"k{number}": 1 for number in range(5000)}}}
    answer = server.post("/apply", body)
    detail = answer.json["detail"]
    assert (answer.status, len(detail)) == (422, 101)
    assert {entry["type"] for entry in detail[:-1]} == {"extra_forbidden"}
    assert (detail[-1]["type"], detail[-1]["msg"]) == ("too_many_errors", "4900 more errors are not shown")
    with Tesseract.from_url(server.url) as tesseract, pytest.raises(ValidationError, match="4900 more errors"):
        tesseract.apply(body["inputs"])


BELOW_ANYTHING = """
from typing import Any
import numpy as np
from pydantic import BaseModel

class Part(BaseModel):
    rate: float

class InputSchema(BaseModel):
    pass

class OutputSchema(BaseModel):
    found: Any

def apply(inputs: InputSchema) -> OutputSchema:
    counts = dict(zip(*np.unique([3, 3, 4], return_counts=True)))
    return {"found": {"part": Part(rate=np.inf), "counts": counts, "long": np.longdouble(0.5)}}
"""


def test_what_is_below_anything_in_a_result(tmp_path: Path) -> None:
    path = tmp_path / "tesseract_api.py"
    path.write_text(BELOW_ANYTHING)
    with served(path, tmp_path) as server:
        found = Tesseract.from_url(server.url).apply({})["found"]
        assert found == {"part": {"rate": math.inf}, "counts": {"3": 2, "4": 1}, "long": 0.5}
        assert found["long"].dtype == "float64"
        (long, rate) = (server.post("/apply", {"inputs": {}}).json["found"][key] for key in ("long", "part"))
        assert (long["dtype"], long["data"]["buffer"], rate) == ("float64", 0.5, {"rate": None})
