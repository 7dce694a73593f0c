"""The client's half of the wire: transports, codec and errors. `tesseract_core.Tesseract` is built on it."""
