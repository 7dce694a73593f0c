"""Static checks of `tesseract_api.py`: the source is parsed, never imported."""

from __future__ import annotations

import ast
from pathlib import Path

from tesseract.errors import ValidationError

_ORDINALS = ("first", "second", "third", "fourth", "fifth")

# Name → argument names in order; None marks a class. The order is the order of the reports.
_EXPECTED: dict[str, tuple[str, ...] | None] = {
    "apply": ("inputs",),
    "InputSchema": None,
    "OutputSchema": None,
    "jacobian": ("inputs", "jac_inputs", "jac_outputs"),
    "jacobian_vector_product": ("inputs", "jvp_inputs", "jvp_outputs", "tangent_vector"),
    "vector_jacobian_product": ("inputs", "vjp_inputs", "vjp_outputs", "cotangent_vector"),
    "abstract_eval": ("abstract_inputs",),
}
_REQUIRED = ("apply", "InputSchema", "OutputSchema")


def check_api(path: Path) -> None:
    """Check that the module defines what a Tesseract must define, with the right signatures.

    Raises:
        ValidationError: Names the first fault, with file and line.
    """
    tree = _parse(path)
    defined = {
        node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    for name, arguments in _EXPECTED.items():
        node = defined.get(name)
        if node is None:
            if name in _REQUIRED:
                raise ValidationError(f"{name} not defined in {path}. Define it at the top level of the module.")
        elif arguments is None:
            if not isinstance(node, ast.ClassDef):
                raise ValidationError(f"{name} is not a ClassDef in {path} (line {node.lineno}).")
        elif not isinstance(node, ast.FunctionDef):
            kind = " Use `def` instead of `async def`." if isinstance(node, ast.AsyncFunctionDef) else ""
            raise ValidationError(f"{name} is not a FunctionDef in {path} (line {node.lineno}).{kind}")
        else:
            _check_signature(node, arguments, path)
    for name in ("InputSchema", "OutputSchema"):
        node = defined[name]
        if isinstance(node, ast.ClassDef) and not node.bases:
            raise ValidationError(f"{name} must inherit from pydantic.BaseModel ({path}, line {node.lineno}).")


def _parse(path: Path) -> ast.Module:
    try:
        # From bytes, so that Python's own rules for encodings hold (coding cookies, byte order mark).
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise ValidationError(f"Syntax error in {path}: {error}") from error


def _check_signature(node: ast.FunctionDef, expected: tuple[str, ...], path: Path) -> None:
    where = f"({path}, line {node.lineno})"
    if node.args.kwonlyargs:
        raise ValidationError(f"Function `{node.name}` must not have keyword-only arguments {where}.")
    if node.args.posonlyargs:
        raise ValidationError(f"Function `{node.name}` must not have positional-only arguments {where}.")
    got = [argument.arg for argument in node.args.args]
    if len(got) != len(expected):
        raise ValidationError(
            f"`{node.name}` must have {len(expected)} arguments: {', '.join(expected)}.\n"
            f"However, {path} specifies {len(got)} arguments: {', '.join(got)} (line {node.lineno})."
        )
    wrong = [
        f"The {_ORDINALS[index]} argument (argument {index}) of {node.name} must be named {name}, "
        f"but {path} has named it {argument} (line {node.lineno})."
        for index, (name, argument) in enumerate(zip(expected, got, strict=True))
        if name != argument
    ]
    if wrong:
        raise ValidationError("\n".join(wrong))
