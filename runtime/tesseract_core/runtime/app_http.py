"""The Tesseract of the configuration as an ASGI application, for servers of your own: `granian ... app_http:app`.

Importing this module imports the user's module. `tesseract-runtime serve` does not use it: see `serve.supervisor`.
"""

from __future__ import annotations

from tesseract_core.runtime.core import get_tesseract_api
from tesseract_core.runtime.serve import create_rest_api

app = create_rest_api(get_tesseract_api())
