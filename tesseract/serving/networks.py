"""Networks that come with the first Tesseract and go with the last."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tesseract.backends.base import Backend
from tesseract.backends.spec import NetworkAttachment
from tesseract.serving import labels
from tesseract.serving.signals import uninterrupted

logger = logging.getLogger("tesseract")


@contextmanager
def present(backend: Backend, network: NetworkAttachment, *, keep: bool) -> Iterator[None]:
    """Make a named network if it is missing. What was made goes again on failure, and at the end unless `keep`."""
    if network.mode != "named" or network.name is None:
        yield
        return
    made = True  # until we know better: a request that is interrupted may have made it
    done = False
    try:
        made = backend.ensure_network(network.name, labels.ownership())
        if made:
            logger.info("Network '%s' not found, creating it.", network.name)
        yield
        done = True
    finally:
        if made and not (keep and done):
            with uninterrupted():
                backend.remove_network_if_empty(network.name)
