# Developer commands. Started as root, those that need containers prepare the machine and run as an unprivileged user.
.DEFAULT_GOAL := help
.PHONY: help demo test check format golden bench large clean

AS_USER := containers/dev/as-user.sh
PY := .venv/bin/python

help:  ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo:  ## Build, serve, call and tear down examples/vectoradd under rootless Podman
	@$(AS_USER) containers/dev/demo.sh

test:  ## The whole test suite (as root: prepares engines, users and devices first)
	@containers/dev/test.sh

check:  ## Fast subset: lint, types, tests that need no engine
	@$(AS_USER) containers/dev/check.sh

format:  ## Format the code and fix what can be fixed
	@containers/dev/venv.sh
	@$(PY) -m ruff format . && $(PY) -m ruff check --fix .

golden:  ## Rewrite the golden files of the pure tests; read the diff before you commit it
	@containers/dev/venv.sh
	@TESSERACT_UPDATE_GOLDEN=1 $(PY) -m pytest -q tests/host tests/runtime -m fast

bench:  ## Measure speed as ratios against yardsticks
	@$(AS_USER) containers/dev/bench.sh

large:  ## Tests that download gigabytes (PyTorch)
	@$(AS_USER) containers/dev/large.sh

clean:  ## Remove what the commands above left in this checkout
	rm -rf .venv .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
