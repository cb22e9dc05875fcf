# For a fresh machine with git, make and Python 3.11: `make demo`; `make check` (lint, types, fast tests); `make test` (all).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: install install-dev demo lint check fast-tests test test-cluster test-gpu test-wheel test-minimum docs clean

install: .venv/installed
install-dev: .venv/installed-dev

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	touch $@

demo: install
	$(BIN)/python tools/run.py --cfg demo.yaml --jobs 2

lint: install-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: install-dev
	$(MAKE) --jobs 2 --output-sync lint fast-tests

fast-tests: install-dev
	$(BIN)/pytest --numprocesses 2 --dist worksteal -m "not slow"

test: lint
	$(BIN)/pytest --numprocesses 2 --dist worksteal --durations 30 -m "not (cluster and slow)"

test-cluster: install-dev # jobs of many workers, object stores, Ray: races, storms of kills, lost nodes, faults of the server
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m cluster

test-gpu: install-dev
	$(BIN)/pytest -m gpu

test-wheel: install-dev
	$(BIN)/pytest tests/test_release.py

test-minimum: # the fast tests with the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv .venv-minimum
	$(PYTHON) tools/minimum_versions.py > .venv-minimum/constraints.txt
	.venv-minimum/bin/pip install --quiet --disable-pip-version-check --constraint .venv-minimum/constraints.txt --editable '.[dev]'
	.venv-minimum/bin/pytest --numprocesses 2 --dist worksteal -m "not slow"
	rm -rf .venv-minimum

docs: install-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv .venv-minimum runs data build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
