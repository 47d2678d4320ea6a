# Every target does its own set-up: a bare machine needs Python 3.11 and this file.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO ?= demo
JOBS ?= auto

ROUNDS ?= 1

.PHONY: demo test fuzz lint bench clean
.DEFAULT_GOAL := test

# torch comes first and alone, so that nothing else pulls another build of it.
$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found; run make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

## demo: check, convert, train, evaluate and parse an invented corpus
demo: $(READY)
	@BIN=$(BIN) sh tests/demo.sh $(DEMO)

## test: run all tests, a process on every core; those that need real corpora run when TREEWRIGHT_CORPORA names their folder
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses $(JOBS) --dist loadfile

## fuzz: the property tests on examples never drawn before; what they find is kept in .hypothesis until it is mended
fuzz: $(READY)
	for round in $$(seq $(ROUNDS)); do \
	    HYPOTHESIS_PROFILE=fuzz OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m hypothesis --numprocesses $(JOBS) || exit 1; \
	done

## lint: style, format and types
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## bench: training and parsing speed on the sample corpus
bench: $(READY)
	$(BIN)/python -m parser bench

clean:
	rm -rf $(VENV) $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
