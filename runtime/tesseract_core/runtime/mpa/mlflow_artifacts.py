"""Whether an MLflow run's artifacts can ever get to where they belong, by the address and what is installed."""

from __future__ import annotations

import importlib.util
import os
from urllib.parse import unquote, urlsplit

# What MLflow needs to send artifacts to other stores than its own server: modules, and the packages that have them.
_NEEDS = {
    "s3": ("boto3", "boto3"),
    "r2": ("boto3", "boto3"),
    "b2": ("boto3", "boto3"),
    "gs": ("google.cloud.storage", "google-cloud-storage"),
    "wasb": ("azure.storage.blob", "azure-storage-blob"),
    "wasbs": ("azure.storage.blob", "azure-storage-blob"),
    "abfss": ("azure.storage.filedatalake", "azure-storage-file-datalake"),
    "sftp": ("pysftp", "pysftp"),
    "hdfs": ("pyarrow", "pyarrow"),
    "viewfs": ("pyarrow", "pyarrow"),
}


def why_never(uri: str) -> str | None:
    """Why artifacts can never be sent from here to a run's artifact address; None if they may well be.

    Args:
        uri: `artifact_uri` of the run: `mlflow-artifacts:/…`, `s3://…`, a directory, …
    """
    scheme = urlsplit(uri).scheme.lower()
    shown = uri.partition("?")[0]
    if scheme in ("", "file"):
        return _why_no_directory(unquote(urlsplit(uri).path) if scheme else uri)
    module, package = _NEEDS.get(scheme, ("", ""))
    if module and not _is_there(module):
        return f"its artifacts go to {shown}, which needs {package}: add {package} to the Tesseract's requirements"
    return None


def _why_no_directory(path: str) -> str | None:
    existing = os.path.abspath(path)
    while not os.path.exists(existing) and existing != os.path.dirname(existing):
        existing = os.path.dirname(existing)
    if os.path.isdir(existing) and os.access(existing, os.W_OK | os.X_OK):
        return None
    return (
        f"its artifacts go to the directory {path}, which cannot be written here: mount it there (--volume), or start "
        "the server with --artifacts-destination, so that artifacts go through it"
    )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above it
        return False
