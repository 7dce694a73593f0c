"""Path types and `require_file`: confined to their directories, with messages that do not tell where those are."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, ValidationError, ValidationInfo
from tesseract_core.runtime import experimental
from tesseract_core.runtime.config import override_config, update_config
from tesseract_core.runtime.experimental import InputPath, OutputPath, require_file

pytestmark = pytest.mark.fast


class In(BaseModel):
    p: InputPath


class Out(BaseModel):
    p: OutputPath


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    inputs, outputs = tmp_path / "secret-place" / "in", tmp_path / "secret-place" / "out"
    for folder in (inputs, outputs):
        (folder / "sub").mkdir(parents=True)
        (folder / "file.txt").write_text("x")
    (tmp_path / "outside.txt").write_text("secret")
    (inputs / "escape").symlink_to(tmp_path / "outside.txt")
    (inputs / "link").symlink_to(inputs / "file.txt")
    with override_config():
        update_config(input_path=str(inputs), output_path=str(outputs))
        yield inputs, outputs


def error_of(model: type[BaseModel], value: Any, **kwargs: Any) -> dict[str, Any]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"p": value}, **kwargs)
    (error,) = caught.value.errors(include_url=False)
    return dict(error)


@pytest.mark.parametrize("value", ["file.txt", Path("file.txt"), "sub/../file.txt", "link"])
def test_input_path_becomes_absolute(folders: tuple[Path, Path], value: Any) -> None:
    model = In(p=value)
    assert model.p == folders[0] / "file.txt"
    assert json.loads(model.model_dump_json())["p"] == str(folders[0] / "file.txt")


def test_checks_may_be_skipped_but_not_confinement(folders: tuple[Path, Path]) -> None:
    skip = {"skip_path_checks": True}
    assert In.model_validate({"p": "missing.txt"}, context=skip).p == folders[0] / "missing.txt"
    assert Out.model_validate({"p": "missing.txt"}, context=skip).p == folders[1] / "missing.txt"
    assert "outside" in error_of(In, "../missing.txt", context=skip)["msg"]
    assert "does not exist" in error_of(In, "missing.txt")["msg"]


def test_dumps_hold_text_where_asked_for(folders: tuple[Path, Path]) -> None:
    assert Out(p="file.txt").model_dump() == {"p": folders[1] / "file.txt"}
    assert Out(p="file.txt").model_dump(context={"paths_as_text": True}) == {"p": "file.txt"}
    assert In(p="file.txt").model_dump(context={"paths_as_text": True}) == {"p": str(folders[0] / "file.txt")}
    for mode in ("validation", "serialization"):
        schema = Out.model_json_schema(mode=mode)  # type: ignore[arg-type]
        assert schema["properties"]["p"] == {"format": "path", "title": "P", "type": "string"}
        assert In.model_json_schema(mode=mode)["properties"]["p"] == schema["properties"]["p"]  # type: ignore[arg-type]


def test_input_path_may_be_a_folder_or_absolute(folders: tuple[Path, Path]) -> None:
    assert In(p="sub").p == folders[0] / "sub"
    assert In(p=folders[0] / "file.txt").p == folders[0] / "file.txt"


@pytest.mark.parametrize("value", ["../../outside.txt", "escape", "/etc/passwd", "nothing.txt", "a\0b", "x" * 5000])
def test_input_path_is_confined_and_must_exist(folders: tuple[Path, Path], value: str) -> None:
    error = error_of(In, value)
    assert error["type"] == "value_error"
    assert "secret-place" not in error["msg"]


def test_numbers_are_no_paths(folders: tuple[Path, Path]) -> None:
    error_of(In, 5)


def test_output_path_is_relative_in_json(folders: tuple[Path, Path]) -> None:
    for value in ("sub", folders[1] / "sub", Path("sub")):
        model = Out(p=value)
        assert model.p == folders[1] / "sub"
        assert json.loads(model.model_dump_json()) == {"p": "sub"}
    assert error_of(Out, "nothing")["type"] == "value_error"
    assert error_of(Out, folders[0] / "file.txt")["type"] == "value_error"


def test_existence_check_can_be_skipped_but_not_confinement(folders: tuple[Path, Path]) -> None:
    context = {"skip_path_checks": True}
    assert Out.model_validate({"p": "nothing"}, context=context).p == folders[1] / "nothing"
    assert error_of(Out, "../nothing", context=context)["type"] == "value_error"


def test_further_validators_see_the_absolute_path(folders: tuple[Path, Path]) -> None:
    seen = []

    def check(path: Path, info: ValidationInfo) -> Path:
        seen.append((path, info.context))
        return path

    class Checked(BaseModel):
        p: Annotated[InputPath, AfterValidator(check)]

    Checked.model_validate({"p": "file.txt"}, context={"k": 1})
    assert seen == [(folders[0] / "file.txt", {"k": 1})]


def test_schema_is_that_of_a_path() -> None:
    for model in (In, Out):
        for mode in ("validation", "serialization"):
            schema = model.model_json_schema(mode=mode)["properties"]["p"]  # type: ignore[arg-type]
            assert {**schema, "title": "P"} == {"type": "string", "format": "path", "title": "P"}


def test_require_file(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert require_file("file.txt") == folders[0] / "file.txt"
    with pytest.raises(FileNotFoundError):
        require_file("sub")
    for wrong in ("nothing.txt", "../../outside.txt"):
        with pytest.raises(ValueError, match=f"required file: .*{wrong}.*--input-path"):
            require_file(wrong)
    monkeypatch.setattr(experimental, "SKIP_REQUIRED_FILE_CHECK", True)
    assert require_file("nothing.txt") == Path("nothing.txt")


def test_older_names_warn(folders: tuple[Path, Path]) -> None:
    with pytest.warns(DeprecationWarning, match="use InputPath"):
        from tesseract_core.runtime.experimental import InputFileReference
    with pytest.warns(DeprecationWarning, match="use OutputPath"):
        from tesseract_core.runtime.experimental import OutputFileReference

    class Old(BaseModel):
        p: InputFileReference  # type: ignore[valid-type]
        q: OutputFileReference  # type: ignore[valid-type]

    old = Old(p="file.txt", q="file.txt")
    assert (old.p, old.q) == (folders[0] / "file.txt", Path("file.txt"))
    with pytest.raises(ValidationError, match="not a file"):
        Old(p="sub", q="file.txt")


def test_public_names() -> None:
    assert sorted(experimental.__all__) == [
        "BinrefArray",
        "BinrefWriter",
        "InputPath",
        "LazySequence",
        "OutputPath",
        "TesseractReference",
        "finite_difference_jacobian",
        "finite_difference_jvp",
        "finite_difference_vjp",
        "jacobian_from_jvp",
        "jacobian_from_vjp",
        "jvp_from_jacobian",
        "log_artifact",
        "log_metric",
        "log_parameter",
        "require_file",
        "set_jax_vjp_cache_size",
        "vjp_from_jacobian",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in experimental.__all__:
            assert getattr(experimental, name) is not None
            assert name in dir(experimental)
    assert importlib.import_module("tesseract_core.runtime.experimental").SKIP_REQUIRED_FILE_CHECK is False
    with pytest.raises(AttributeError):
        experimental.nothing  # type: ignore[attr-defined]  # noqa: B018
