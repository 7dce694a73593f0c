"""/docs: Swagger UI without a network, in a real browser."""

from __future__ import annotations

import json
import textwrap
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


@pytest.mark.parametrize("file", ["swagger-ui-bundle.js", "swagger-ui.css", "examples.js", "start.js", "favicon.png"])
def test_assets_are_served(server: Served, file: str) -> None:
    answer = server.get(f"/docs/{file}")
    assert answer.status == 200
    assert len(answer.body) > 500


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "profile") as opened:
        yield opened


def type_in(page: Page, payload: object) -> None:
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


def execute(page: Page, payload: object | None = None) -> str:
    """Try /apply out on the page, with the example unless there is a payload; return the status that the page shows."""
    page.wait_for(f"!!document.querySelector('{APPLY} .opblock-summary-control')")
    page.evaluate(f"document.querySelector('{APPLY} .opblock-summary-control').click()")
    page.wait_for(f"!!document.querySelector('{APPLY} textarea.body-param__text')")
    if payload is not None:
        type_in(page, payload)
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


@pytest.mark.needs("chromium")
def test_the_page_begins_with_what_works(server: Served, page: Page) -> None:
    page.open(f"{server.url}/docs")
    page.wait_for("document.querySelectorAll('.opblock').length == 6")
    assert "Double `a`." in page.evaluate(f"document.querySelector('{APPLY}').innerText")
    # The schemas are one line that opens.
    assert page.evaluate("document.querySelector('section.models h4 button').getAttribute('aria-expanded')") == "false"
    assert execute(page).startswith("200")


RICH = """
    import datetime
    from typing import Annotated, Any, Literal
    from annotated_types import Len
    from pydantic import BaseModel, Field
    from tesseract_core.runtime import Array, Bool, Differentiable, Float32, Float64, Int64, ShapeDType

    class Part(BaseModel):
        x: Differentiable[Array[(None, 2), Float32]]

    class InputSchema(BaseModel):
        parts: list[Part] = []
        table: dict[str, Differentiable[Array[(2,), Float64]]] = {}
        maybe: Differentiable[Array[(None,), Float64]] | None = None
        image: Array[(640, 480, 3), Float32]
        whole: Array[(2, 1), Int64]
        yes: Array[(None,), Bool]
        some: Array[..., Float64]
        one: Int64
        few: Annotated[list[Part], Len(2, 3)]
        pair: tuple[int, Float64]
        positive: float = Field(gt=0)
        share: float = Field(gt=0, lt=1)
        negative: int = Field(lt=-3)
        even: int = Field(ge=5, multiple_of=2)
        name: str = Field(min_length=6, max_length=6)
        short: str = Field(max_length=2)
        when: datetime.datetime
        kind: Literal["b", "a"]
        either: int | str
        anything: Any
        named: dict[str, int]

    class OutputSchema(BaseModel):
        y: Differentiable[Array[(2,), Float64]]
        z: list[Differentiable[Float64]]

    def apply(inputs: InputSchema) -> OutputSchema:
        assert inputs.image.shape == (640, 480, 3)
        return {"y": [0, 1], "z": [1]}

    def abstract_eval(abstract_inputs):
        assert tuple(abstract_inputs.image.shape) == (640, 480, 3)
        return {"y": ShapeDType(shape=(2,), dtype="float64"), "z": []}

    def jacobian(inputs, jac_inputs, jac_outputs):
        return {out: {path: inputs.parts[0].x[None] * [[[1.0], [2.0]]] for path in jac_inputs} for out in jac_outputs}

    def jacobian_vector_product(inputs, jvp_inputs, jvp_outputs, tangent_vector):
        return {out: tangent_vector[path][0] for path in jvp_inputs for out in jvp_outputs}

    def vector_jacobian_product(inputs, vjp_inputs, vjp_outputs, cotangent_vector):
        return {path: inputs.parts[0].x for path in vjp_inputs}
"""


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("api", ["http_demo", "schema_demo", "rich"])
def test_the_examples_of_all_endpoints_are_accepted(tmp_path: Path, page: Page, api: str) -> None:
    file = API.with_name(f"{api}.py")
    if api == "rich":
        file = tmp_path / "tesseract_api.py"
        file.write_text(textwrap.dedent(RICH))
    with served(file, tmp_path, options=("--debug", "--debugpy-port", "0")) as server:
        page.open(f"{server.url}/docs")
        page.wait_for("document.querySelectorAll('.opblock').length > 1")
        for path, methods in server.get("/openapi.json").json["paths"].items():
            if "post" in methods:
                payload = page.evaluate(f"openapi().then(spec => new Examples(spec).payload('{path}'))")
                answer = server.post(path, payload)
                assert answer.status == 200, (path, payload, answer.body)


def test_licence_and_size_of_what_is_vendored() -> None:
    from tesseract_core.runtime import serve

    docs = Path(serve.__file__).parent / "docs"
    assert "Apache License" in (docs / "LICENSE").read_text()
    assert "SmartBear" in (docs / "NOTICE").read_text()
    assert sum(file.stat().st_size for file in docs.iterdir()) < 2_000_000
