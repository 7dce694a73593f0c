"""Docker's API by docker-py's client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tesseract.backends.docker.endpoint import Endpoint
from tesseract.backends.http import EngineApi, Response
from tesseract.errors import EngineUnavailable

if TYPE_CHECKING:
    from docker import APIClient

# Docker 20.10; newer daemons that dropped it are spoken to in their oldest version.
API_VERSION = "1.41"


class DockerApi(EngineApi):
    """A connection to one daemon."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__("Docker", endpoint.url or " ".join(endpoint.executable), endpoint.why)
        self.endpoint = endpoint
        self._client: APIClient | None = None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _send(
        self, method: str, path: str, params: Mapping[str, str], body: bytes | None, limits: tuple[float, float | None]
    ) -> Response:
        headers = {"Connection": "close", **({"Content-Type": "application/json"} if body is not None else {})}
        client = self._connected()
        url = f"{client.base_url}/v{API_VERSION}{path}"
        return client.request(method, url, params=params, data=body, headers=headers, timeout=limits, stream=True)

    def _connected(self) -> Any:
        if self._client is None:
            try:
                from docker import APIClient
                from docker.errors import DockerException
            except ImportError:
                raise EngineUnavailable(
                    "Docker needs the Python package docker. Install it: pip install 'tesseract-core[docker]'."
                ) from None
            try:
                if self.endpoint.dial:
                    from tesseract.backends.docker.dial import DialAdapter

                    self._client = APIClient(base_url="http://localhost:2375", version=API_VERSION)
                    self._client.mount("http://", DialAdapter(self.endpoint.dial))
                else:
                    tls = _tls(self.url)
                    self._client = APIClient(base_url=self.url, version=API_VERSION, tls=tls, use_ssh_client=True)
            except DockerException as exc:
                raise EngineUnavailable(f"Docker cannot be reached at {self.url} ({self.why}): {exc}") from exc
        return self._client


def _tls(url: str) -> Any:
    """Certificates as the docker command line takes them from the environment."""
    import os

    if not os.environ.get("DOCKER_TLS_VERIFY") or not url.startswith(("tcp:", "https:")):
        return False
    from docker.utils import kwargs_from_env

    return kwargs_from_env().get("tls", False)
