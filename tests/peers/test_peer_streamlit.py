"""tesseract-streamlit from the package index, unchanged: its app for a served Tesseract answers in a browser."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.environment import python_with, version
from support.served import free_port, served
from tesseract_core import __version__

pytestmark = [pytest.mark.needs("chromium", "chromedriver"), pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
# Its command line imports typer, which it does not declare.
PACKAGES = ("tesseract-streamlit", "typer", "selenium")

VISIT = """
import sys
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

options = webdriver.ChromeOptions()
for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
    options.add_argument(argument)
options.binary_location = "/usr/bin/chromium"
browser = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
try:
    browser.get(sys.argv[1])
    wait = WebDriverWait(browser, 120)
    text = lambda: browser.find_element(By.TAG_NAME, "body").text
    field = wait.until(lambda _: browser.find_elements(By.CSS_SELECTOR, "input[type=text], textarea"))[0]
    field.send_keys("Osborne")
    field.send_keys(Keys.TAB)
    wait.until(lambda _: browser.find_elements(By.XPATH, "//button[contains(., 'Submit')]"))[-1].click()
    wait.until(lambda _: "Hello Osborne!" in text())
    print(text())
finally:
    browser.quit()
"""


@pytest.fixture
def tesseract_url(tmp_path: Path) -> Iterator[str]:
    with served(ROOT / "examples/helloworld/tesseract_api.py", tmp_path) as server:
        yield server.url


@pytest.fixture
def app_url(tesseract_url: str, tmp_path: Path) -> Iterator[str]:
    python = python_with(*PACKAGES)
    assert version(python, "tesseract-core") == __version__
    app, port = tmp_path / "app.py", free_port()
    generate = [python.parent / "tesseract-streamlit", tesseract_url, app]
    done = subprocess.run(generate, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "streamlit.log").open("wb")
    process = subprocess.Popen(
        [python, "-m", "streamlit", "run", app],
        env={
            **os.environ,
            "STREAMLIT_SERVER_PORT": str(port),
            "STREAMLIT_SERVER_ADDRESS": "127.0.0.1",
            "STREAMLIT_SERVER_HEADLESS": "true",
            "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
        },
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        _wait_until_listening(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def test_the_app_answers_in_a_browser(app_url: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [python_with(*PACKAGES), "-c", VISIT, app_url], capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stderr + (tmp_path / "streamlit.log").read_text()
    assert "Hello Osborne!" in done.stdout


def _wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "streamlit ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError("streamlit does not listen")
