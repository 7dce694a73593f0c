"""contrib/mlflow/ comes up without docker-compose, too, and containers of its network reach it.

By `docker-compose`, as the mission document prints it: test_mission_document.py.
"""

from __future__ import annotations

import pytest
from support import mlflow
from support.engine import podman, snapshot

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900)]

ASK = "import urllib.request as u; print(u.urlopen('http://mlflow-server:5000/health', timeout=20).read().decode())"


@pytest.mark.parametrize("starter", ["podman-compose", "podman kube play"])
def test_the_server_is_there_for_tesseracts(base_image: str, starter: str) -> None:
    before = snapshot()
    with mlflow.stack(starter):
        said = podman("run", "--rm", "--network", mlflow.NETWORK, "--entrypoint", "python3", base_image, "-c", ASK)
        assert said == "OK\n"
    assert snapshot() == before
