# Python 3.11 or newer and make are all a new machine needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The first interpreter on this machine that is new enough; `make install PYTHON=/path/to/python` decides otherwise.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && exit; \
	done; echo python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
# Tests at once: a quarter of the time they wait for processes of their own.
WORKERS ?= $(shell expr $$(nproc) + 1)
# Seeded simulations for `make sim`; each prints its seed when it fails.
SEEDS ?= 200
# Kills of a storm (some 3 hours for 10000), and what fixes whom they hit.
KILLS ?= 10000
SEED ?= 1

.PHONY: help install demo test check lint format types imports tidy unused dependencies docstrings docs bench sim chaos \
	lock clean

help: ## list the targets
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

install: $(INSTALLED) ## make .venv with the locked versions

$(INSTALLED): pyproject.toml requirements/lock.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'Mutual Edge needs Python 3.11 or newer, and "$(PYTHON)" is not.' >&2; \
		echo 'Install one and name it: make install PYTHON=/path/to/python3' >&2; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(INSTALLED)

demo: install ## three enterprises lend, run, settle and prove on this machine
	$(BIN)/mutualedge demo

test: install ## every test except the slow ones, in random order
	$(BIN)/python -m pytest -n $(WORKERS) -m 'not slow'

check: lint types imports tidy unused dependencies docstrings docs ## everything that needs no running program

lint: install ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install ## let the formatter and the safe fixes do their work
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: install ## mypy, strict
	$(BIN)/mypy

imports: install ## who may import whom
	$(BIN)/lint-imports --no-logo

tidy: install ## the house rules that no linter knows
	$(BIN)/python -m pytest -q tests/tidy

unused: install ## code that nobody calls
	$(BIN)/vulture

dependencies: install ## declared and imported libraries agree
	$(BIN)/deptry src

# A docstring here may leave out Args or Returns (its first line says what comes back); what it does say must be true.
docstrings: install ## docstrings name the arguments that exist
	@$(BIN)/pydoclint --quiet --config pyproject.toml src >.venv/docstrings.txt 2>&1 || true
	@! grep -E 'DOC(00|102|104|105|106|107|109|11|202|203|302|402|403|404|405)|not in the function signature|^Error|Traceback' .venv/docstrings.txt

docs: install ## build the documentation; a warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

bench: install ## measure; results are appended to benchmarks/results
	$(BIN)/python -m benchmarks

sim: install ## SEEDS=200 seeded simulations of a whole consortium
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

chaos: install ## KILLS=10000 SEED=1 random kills of real processes under load
	$(BIN)/python -m tests.e2e.chaos --kills $(KILLS) --seed $(SEED)

lock: install ## resolve the newest allowed versions again
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--generate-hashes --custom-compile-command 'make lock' --quiet --output-file requirements/lock.txt

clean: ## remove what was built, keep the environment
	rm -rf docs/_build docs/reference/api docs/reference/errors.md dist
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
