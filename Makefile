# `make demo` and `make test` do all the set-up on a fresh Debian or Ubuntu with Python 3.11 or later.
# Another Python: make PYTHON=python3.13 test

PYTHON ?= python3
VENV := .venv
JOBS ?= 2
BIN := $(VENV)/bin
LOCK = UV_CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/uv pip compile --quiet --upgrade --universal \
	  --python-version 3.11 --generate-hashes --output-file

# Images of Python set it: every worker would compile every test again, in 7 s.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help dev demo test-fast test test-slow test-engines lint format docs pictures lock bench \
  mutants clean

help: ## List these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

dev: $(VENV)/made ## Install the system packages that are missing and make the virtual environment

demo: $(VENV)/made ## Publish a release on a throw-away engine, registry and repository
	PYTHONPATH=. $(BIN)/python scripts/demo

test-fast: $(VENV)/made ## Run the tests that need neither engine nor registry
	$(BIN)/pytest -n $(JOBS) -m "not engines and not real and not slow"

test: $(VENV)/made ## Run the tests on the engine that is there, or else on a private one
	$(BIN)/pytest -n $(JOBS) -m "not engines and not slow"

test-slow: $(VENV)/made ## Run the sweeps over crash points, interleavings and faults, and all examples
	$(BIN)/pytest -n $(JOBS) -m "not engines and (slow or hypothesis)" --hypothesis-profile=thorough

test-engines: $(VENV)/made ## Run the rest of the tests: Docker 28 and Podman, as root; makes 700 MB of cache
	scripts/install-system-packages --engines
	$(BIN)/pytest -m engines

lint: $(VENV)/made ## Check style, types, layers and workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet --strict-collection .

format: $(VENV)/made ## Format, and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: generated ## Build the documentation site to site/
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/zensical build --clean --strict
	! grep -rnE '<(script|img|link[^>]+stylesheet)[^>]+(src|href)="?(https?:)?//' site --include='*.html'

pictures: $(VENV)/made ## Draw the pictures of the documentation, from real runs
	PYTHONPATH=. $(BIN)/python scripts/pictures

lock: $(VENV)/made ## Pin what the action installs: the newest that pyproject.toml allows
	$(BIN)/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	$(LOCK) requirements.txt pyproject.toml
	$(LOCK) requirements-build.txt requirements-build.in

.PHONY: generated
generated: $(VENV)/made ## Make the files that are made from the code: layers, schema, man page, reference
	$(BIN)/python scripts/layers --write
	$(BIN)/python scripts/schema --write
	$(BIN)/python scripts/man --write
	PYTHONPATH=. $(BIN)/python scripts/reference

bench: $(VENV)/made ## Measure time and memory; needs 5 GB of disk for a few minutes
	PYTHONPATH=. $(BIN)/python scripts/bench

mutants: $(VENV)/made ## Change the rule in a thousand places, and list what no test notices; over an hour
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[mutants]'
	$(BIN)/mutmut run
	$(BIN)/mutmut results

clean: ## Remove what these targets made
	rm -rf $(VENV) build dist mutants site .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# Made anew when the dependencies change.
$(VENV)/made: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "$(PYTHON) is not Python 3.11 or later; name one that is: make PYTHON=python3.13" >&2; exit 1; }
	PYTHON=$(PYTHON) scripts/install-system-packages
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
