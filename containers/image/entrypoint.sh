#!/bin/sh
# The first process of a Tesseract. Whoever the engine lets it run as, HOME must be a place that can be written to.
if [ ! -w "${HOME:-/}" ]; then
  HOME=/tmp
  export HOME
fi
exec "$@"
