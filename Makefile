# Everything works on a fresh Debian 12 with make and Python 3.11: each target makes what it needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test bench docs conformance clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip "setuptools>=70.1"

# A stamp per set of extras, so that a second call starts at once.
$(VENV)/.%: $(BIN)/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet -e ".[$*]"
	touch $@

run: $(VENV)/.examples
	$(BIN)/python examples/app.py

test: $(VENV)/.test $(VENV)/.docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest

# A real server, visited by curl, nginx, systemd and Python's own clients.
conformance: $(VENV)/.test
	tests/conformance/programs.sh
	$(BIN)/python -m pytest tests/conformance

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

docs: $(VENV)/.docs
	$(BIN)/python -m docs

clean:
	rm -rf $(VENV) build dist docs/_build
