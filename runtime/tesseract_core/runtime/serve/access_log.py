"""What the HTTP side logs: a line per request on stderr, and granian's own complaints."""

from __future__ import annotations

import logging
from urllib.parse import quote

LOGGING = {
    "formatters": {"plain": {"format": "[%(levelname)s] %(message)s"}},
    "handlers": {"console": {"formatter": "plain", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"}},
    "loggers": {
        "_granian": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        "granian.access": {"handlers": ["console"], "level": "INFO", "propagate": False},
    },
}
FORMAT = '%(addr)s - "%(method)s %(path)s %(protocol)s" %(status)d'


def install_filters() -> None:
    """Leave out what says nothing, and what could be taken for another line."""
    logging.getLogger("_granian").addFilter(_no_advice)
    logging.getLogger("granian.access").addFilter(_presentable)


def _no_advice(record: logging.LogRecord) -> bool:
    """Drop what granian tells its own users: we know that it is embedded."""
    return "experimental" not in str(record.msg)


def _presentable(record: logging.LogRecord) -> bool:
    """Show a path as it stood in the request line: decoded, it may hold line breaks and control characters.

    Drops the access lines of health checks that succeed: some come several times a second, for ever.
    """
    request = record.args
    if isinstance(request, dict):
        if request["path"] == "/health" and request["status"] == 200:
            return False
        record.args = {**request, "path": quote(request["path"], safe="/:@!$&'()*+,;=")}
    return True
