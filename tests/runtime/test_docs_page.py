"""/docs: Swagger UI without a network, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import Page, chromium
from support.served import Served, served

API = Path(__file__).parent / "apis" / "http_demo.py"
APPLY = "#operations-default-apply_apply_post"
RESPONSE = f"{APPLY} .live-responses-table .response"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(API, tmp_path_factory.mktemp("docs"), env={"TESSERACT_NAME": "demo"}) as running:
        yield running


def test_the_page_names_no_other_host(server: Served) -> None:
    answer = server.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert b"http" not in answer.body


@pytest.mark.parametrize("file", ["swagger-ui-bundle.js", "swagger-ui.css", "start.js", "favicon.png"])
def test_assets_are_served(server: Served, file: str) -> None:
    answer = server.get(f"/docs/{file}")
    assert answer.status == 200
    assert len(answer.body) > 500


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "profile") as opened:
        yield opened


def execute(page: Page, payload: object) -> str:
    """Try /apply out on the page, and return the status that the page shows."""
    page.wait_for(f"!!document.querySelector('{APPLY} .opblock-summary-control')")
    page.evaluate(f"document.querySelector('{APPLY} .opblock-summary-control').click()")
    page.wait_for(f"!!document.querySelector('{APPLY} textarea.body-param__text')")
    page.evaluate(
        f"""(() => {{
            const area = document.querySelector('{APPLY} textarea.body-param__text');
            Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set.call(
                area, {json.dumps(json.dumps(payload))});
            area.dispatchEvent(new Event('input', {{bubbles: true}}));
        }})()"""
    )
    # The page takes up what was typed after a moment.
    page.wait_for(f"(document.querySelector('{APPLY} textarea.body-param__text') || {{}}).value.includes('inputs')")
    page.evaluate("new Promise(done => setTimeout(done, 500))")
    page.evaluate(f"document.querySelector('{APPLY} button.execute').click()")
    return str(page.wait_for(f"document.querySelector('{RESPONSE} .response-col_status')?.innerText"))


@pytest.mark.needs("chromium")
def test_try_it_out(server: Served, page: Page) -> None:
    page.open(f"{server.url}/docs")
    page.wait_for("document.querySelectorAll('.opblock').length == 6")
    assert page.evaluate("document.title").startswith("demo")
    assert execute(page, {"inputs": {"a": [1, 2, 3]}}).startswith("200")
    body = page.wait_for(f"document.querySelector('{RESPONSE} .highlight-code')?.innerText")
    assert "stats" in body
    # Nothing but this server was asked for anything, and the page's own policy was enough for it.
    assert f"{server.url}/apply" in page.requests
    assert all(url.startswith((f"{server.url}/", "data:", "about:")) for url in page.requests), page.requests
    assert page.complaints == []


@pytest.mark.needs("chromium")
def test_the_page_asks_for_the_token(tmp_path: Path, page: Page) -> None:
    with served(API, tmp_path, env={"TESSERACT_TOKEN": "s3cret"}) as server:
        page.open(f"{server.url}/docs/favicon.png")
        page.wait_for("document.readyState == 'complete'")
        page.evaluate("sessionStorage.setItem('tesseract-token', 's3cret')")
        page.open(f"{server.url}/docs")
        assert execute(page, {"inputs": {"a": [1, 2, 3]}}).startswith("200")


def test_licence_and_size_of_what_is_vendored() -> None:
    from tesseract_core.runtime import serve

    docs = Path(serve.__file__).parent / "docs"
    assert "Apache License" in (docs / "LICENSE").read_text()
    assert "SmartBear" in (docs / "NOTICE").read_text()
    assert sum(file.stat().st_size for file in docs.iterdir()) < 2_000_000
