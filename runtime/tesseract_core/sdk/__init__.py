"""Import paths that code outside of this project uses. Thin aliases; the host package `tesseract` is behind them."""
