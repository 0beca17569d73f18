# Everything works on a fresh Debian 12 with make and Python 3.11: each target makes what it needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

# A second Python for the tests that start no servers, where there is one that runs; PYTHON313= does without, or names it.
VENV313 := .venv-3.13
PYTHON313 ?= $(firstword $(foreach python,python3.13 $(wildcard $(HOME)/.pyenv/versions/3.13*/bin/python3.13),\
    $(shell $(python) -c "import ensurepip" 2>/dev/null && echo $(python))))

.PHONY: run test ready quick bench docs conformance clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip "setuptools>=70.1"

# A stamp per set of extras, so that a second call starts at once.
$(VENV)/.%: $(BIN)/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet -e ".[$*]"
	touch $@

run: $(VENV)/.examples
	$(BIN)/python examples/app.py

# Where there is a browser, its tests go with the usual ones, which pytest would run unasked.
WITH_CHROMIUM := tests/process tests/backends tests/unit tests/wire tests/conformance/test_chromium*.py

# Properties are tried with the same examples each time, so that a red run is about what was changed; other examples come without
# that profile. Tests of processes mostly wait, so three at a time suit two cores; the files stay whole, because their tests share servers.
test: $(VENV)/.test $(VENV)/.docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/support/typed.py
	$(BIN)/lint-imports --no-cache
	tests/programs.sh --where-possible curl:curl openssl:openssl chromium:chromium
	$(if $(PYTHON313),$(MAKE) quick VENV=$(VENV313) PYTHON=$(PYTHON313),@echo "No Python 3.13 found: the tests run under $(PYTHON) alone.")
	$(BIN)/python -m pytest --hypothesis-profile ci --numprocesses 3 --dist loadfile $$(command -v chromium >/dev/null && echo $(WITH_CHROMIUM) \
	    || echo "No Chromium: its tests are left to make conformance." >&2)

ready: $(VENV)/.test $(VENV)/.docs

quick: ready
	$(BIN)/python -m pytest --hypothesis-profile ci --numprocesses 2 --dist worksteal tests/unit tests/wire

# A real server, visited by Chromium, curl, nghttp2, nginx, systemd and Python's own clients.
conformance: $(VENV)/.test
	tests/programs.sh chromium:chromium nginx:nginx-light curl:curl nghttp:nghttp2-client openssl:openssl systemd-analyze:systemd useradd:passwd su:util-linux postfix:postfix node:nodejs npm:npm
	$(BIN)/python -m pytest tests/conformance tests/process/test_http2.py tests/process/test_tls_attacks.py

# bjoern has no wheel: where it does not build (it needs a compiler and libev), the tables name it as missing.
bench: $(VENV)/.bench
	-$(BIN)/pip install --quiet bjoern
	$(BIN)/python -m benchmarks

docs: $(VENV)/.docs
	$(BIN)/python -m docs

clean:
	rm -rf $(VENV) $(VENV313) build dist docs/_build
