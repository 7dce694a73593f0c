#!/bin/bash
# demo.sh - the main job, start to end, as the commands a user would type with what they print.
set -euo pipefail
containers/dev/venv.sh
containers/dev/base-image.sh
PATH="$PWD/.venv/bin:$PATH"
name=
cleanup() { [ -z "$name" ] || tesseract --loglevel error teardown "$name" >/dev/null 2>&1 || true; }
trap cleanup EXIT
bold= plain=
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
step() { printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"; }

step "tesseract build examples/vectoradd"
tesseract build examples/vectoradd

step "tesseract list"
tesseract list

step "tesseract serve --num-workers 2 vectoradd"
served=$(tesseract serve --num-workers 2 vectoradd)
echo "$served"
name=$(python -c 'import json, sys; print(json.loads(sys.argv[1])["container_name"])' "$served")
port=$(python -c 'import json, sys; print(json.loads(sys.argv[1])["containers"][0]["port"])' "$served")

step "tesseract ps"
tesseract ps

step "curl http://127.0.0.1:$port/health"
curl -fsS "http://127.0.0.1:$port/health"; echo

payload='{"inputs": {"a": [1.0, 2.0], "b": [3.0, 4.0]}}'
step "curl -H 'Content-Type: application/json' -d '$payload' http://127.0.0.1:$port/apply"
curl -fsS -H 'Content-Type: application/json' -d "$payload" "http://127.0.0.1:$port/apply"; echo

step "tesseract teardown $name"
tesseract teardown "$name"
name=

step "tesseract run vectoradd apply '$payload'"
tesseract run vectoradd apply "$payload"; echo

step "python"
script='from tesseract_core import Tesseract

with Tesseract.from_image("vectoradd", num_workers=2) as t:
    print(t.apply({"a": [1.0, 2.0], "b": [3.0, 4.0]}))'
sed 's/^/>>> /' <<<"$script"
python -c "$script"

step "podman ps -a"
podman ps -a
