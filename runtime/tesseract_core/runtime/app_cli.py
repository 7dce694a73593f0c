"""The command line as an object, for tools that document it: `cli_app`, and each endpoint under its own name.

Importing this module imports the user's module.
"""

from __future__ import annotations

from tesseract_core.runtime.cli.app import build_app
from tesseract_core.runtime.cli.program import Program

_program = Program(result_fd=1)

cli_app = build_app(_program, _program.endpoints)
globals().update({endpoint.__name__: endpoint for endpoint in _program.endpoints.values()})
