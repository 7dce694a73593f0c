"""Names that a module of a Tesseract cannot have, because Python or the runtime has a module of that name."""

from __future__ import annotations

import os
import sys

# What the runtime imports, some of it only when it is needed; a test compares this with what is installed.
_RUNTIME = frozenset(
    {
        "_cffi_backend",
        "_yaml",
        "aiobotocore",
        "aiohappyeyeballs",
        "aiohttp",
        "aioitertools",
        "aiosignal",
        "annotated_doc",
        "annotated_types",
        "anyio",
        "attr",
        "attrs",
        "botocore",
        "cachetools",
        "certifi",
        "cffi",
        "charset_normalizer",
        "click",
        "cloudpickle",
        "cryptography",
        "cyclopts",
        "databricks",
        "dateutil",
        "debugpy",
        "docstring_parser",
        "dotenv",
        "faker",
        "fastapi",
        "frozenlist",
        "fsspec",
        "git",
        "gitdb",
        "google",
        "granian",
        "h11",
        "httpcore",
        "httpx",
        "idna",
        "importlib_metadata",
        "jmespath",
        "litestar",
        "litestar_htmx",
        "lz4",
        "markdown_it",
        "mdurl",
        "mlflow",
        "msgspec",
        "multidict",
        "multipart",
        "numpy",
        "opentelemetry",
        "orjson",
        "packaging",
        "polyfactory",
        "propcache",
        "pyasn1",
        "pyasn1_modules",
        "pybase64",
        "pycparser",
        "pydantic",
        "pydantic_core",
        "pygments",
        "requests",
        "rich",
        "rich_click",
        "rich_rst",
        "s3fs",
        "six",
        "smmap",
        "sniffio",
        "sqlparse",
        "starlette",
        "tesseract",
        "tesseract_core",
        "typing_extensions",
        "typing_inspection",
        "urllib3",
        "uvicorn",
        "wrapt",
        "yaml",
        "yarl",
        "zipp",
    }
)


def is_reserved(name: str) -> bool:
    """Whether `name` means the module of Python or of the runtime, whatever lies beside the Tesseract."""
    return name in sys.stdlib_module_names or name in _RUNTIME


def modules_in(directory: str) -> set[str]:
    """Names under which files in `directory` could be imported, packages without `__init__.py` left out."""
    found = set()
    with os.scandir(directory) as entries:
        for entry in entries:
            name, _, ending = entry.name.partition(".")
            is_package = not ending and os.path.isfile(os.path.join(entry.path, "__init__.py"))
            if ending == "py" or ending.endswith(".so") or is_package:
                found.add(name)
    return found


def reserved_in(modules: set[str]) -> tuple[list[str], list[str]]:
    """Those of `modules` that have the name of a module of Python, and those with one of the runtime, sorted."""
    python = sys.stdlib_module_names - {"test"}  # which nobody needs, and many have beside their code
    return sorted(modules & python), sorted(modules & _RUNTIME)
