"""What S3 says when it refuses: to whom, in the server's own words, and how to go on."""

from __future__ import annotations

import os
from typing import Any

PUBLIC = "for a public bucket, set FSSPEC_S3_ANON=true"
_SET = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_STALE = {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"}
_FOUND_IN = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "~/.aws/credentials",
    "config-file": "~/.aws/config",
    "sso": "AWS SSO",
    "assume-role": "an assumed role",
    "assume-role-with-web-identity": "a web identity (AWS_ROLE_ARN)",
    "custom-process": "a credential_process",
    "container-role": "this container's role",
    "iam-role": "this machine's role",
}


def refusal(problem: BaseException, fs: Any) -> str | None:
    """Why S3 did not let us, for a message; None for any other error.

    Args:
        problem: What the file system of s3fs raised.
        fs: That file system, which knows the credentials; None if it could not be made.
    """
    for error in (problem, problem.__cause__):
        if not type(error).__module__.startswith("botocore"):
            continue
        name = type(error).__name__
        if name in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"):
            return f"{_one_line(error)}. To go on, {_SET}; {PUBLIC}"
        if "SSO" in name or name == "TokenRetrievalError":
            profile = os.environ.get("AWS_PROFILE")
            login = f"aws sso login --profile {profile}" if profile else "aws sso login"
            return f"{_one_line(error)}. Run `{login}`; {PUBLIC}"
        if name == "ProfileNotFound":
            return f"{_one_line(error)}. Correct AWS_PROFILE, or ~/.aws/config"
        answer = getattr(error, "response", None)
        if isinstance(answer, dict):
            return _of_server(answer, fs)
    return None


def forget_credentials(fs: Any) -> None:
    """Look for credentials again the next time: s3fs keeps its file systems, and those what they have found."""
    if type(fs).__name__ == "S3FileSystem":
        fs.clear_instance_cache()


def _of_server(answer: dict[str, Any], fs: Any) -> str | None:
    said = answer.get("Error", {})
    code = str(said.get("Code", ""))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status not in (401, 403) and code not in _STALE:
        return None
    words = f"{_one_line(said.get('Message') or 'no reason given')} ({code or status})"
    if getattr(fs, "anon", False):
        return f"the server refuses access without credentials: {words}. Unset FSSPEC_S3_ANON, and {_SET}"
    advice = f"renew them; {PUBLIC}" if code in _STALE else f"check them; {PUBLIC}"
    return f"the server refuses {_who(fs)}: {words}. To go on, {advice}"


def _who(fs: Any) -> str:
    """Which credentials were sent. The end of a key's id tells it from others, and is no secret."""
    key, place = getattr(fs, "key", None), "FSSPEC_S3_KEY"
    if not key:
        key, place = _found(fs)
    return f"the credentials from {place}" + (f", key …{key[-4:]}" if key else "")


def _found(fs: Any) -> tuple[str, str]:
    from fsspec.asyn import sync

    try:
        credentials = sync(fs.loop, fs.session.get_credentials, timeout=5)
        method = str(credentials.method)
        key = getattr(credentials, "_access_key", None) or getattr(credentials, "access_key", None)
    except Exception:  # which would hide what is being explained
        return "", "where the AWS tools look"
    profile = os.environ.get("AWS_PROFILE")
    in_files = method in ("shared-credentials-file", "config-file", "sso", "custom-process", "assume-role")
    of_profile = f" (profile {profile})" if profile and in_files else ""
    return str(key or ""), _FOUND_IN.get(method, method) + of_profile


def _one_line(text: object) -> str:
    return " ".join(str(text).split()).rstrip(".")
