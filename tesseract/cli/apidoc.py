"""`tesseract apidoc`: serve a Tesseract for as long as someone reads its documentation."""

from __future__ import annotations

import signal
import webbrowser
from typing import Annotated

from cyclopts import Parameter

from tesseract import serving
from tesseract.cli.console import logger
from tesseract.serving import process


def apidoc(
    image: Annotated[str, Parameter(help="Tesseract image, as `tesseract list` shows it.")],
    /,
    *,
    browser: Annotated[bool, Parameter(help="Open the page in a browser.")] = True,
) -> None:
    served = serving.serve(serving.ServeRequest(image=image, owner=process.current()))
    try:
        url = f"{served.url}/docs"
        logger.info("Serving OpenAPI docs for Tesseract %s at %s", image, url)
        logger.info("  Press Ctrl+C to stop")
        if browser:
            webbrowser.open(url)
        signal.pause()
    except KeyboardInterrupt:
        pass  # the normal way to end this command
    finally:
        serving.teardown(served.container_name)
