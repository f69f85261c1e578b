# edgenet. A new user types `make demo`, a new developer `make test`; each makes the environment itself.
#
# Variables, all optional:
#   PYTHON=python3.12             the Python (3.10 to 3.14) to make the environment from
#   TORCH_ARGS='--index-url ...'  more arguments for `pip install torch`: the way to a CPU-only build of PyTorch (README)
#   FOLDER=.venv                  where the environment goes
#   TESTS='tests/graph -k conv'   what `make test` gives to pytest instead of the whole suite

PYTHON ?= python3
FOLDER ?= .venv
TORCH_ARGS ?=
TESTS ?=
BIN := $(FOLDER)/bin
# Threads that wait must not spin: the other cores have tests of their own.
PYTEST := OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
export PYTHON FOLDER TORCH_ARGS

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-quick check format

help:
	@echo 'make demo        see it work: ImageNet weights to an int8 model that names what is in a video'
	@echo 'make test        the whole test suite'
	@echo 'make test-quick  the suite to run all day, without the slow tests (under 3 minutes)'
	@echo 'make check       lint, format and types'
	@echo 'make format      put the format right'
	@echo 'make setup       only the environment, in $(FOLDER); the others do it when needed'

setup:
	@tools/setup-environment

demo: setup
	@$(BIN)/edgenet demo

test: setup
	@$(PYTEST) $(TESTS)

test-quick: setup
	@$(PYTEST) -q -m 'not slow' $(TESTS)

check: setup
	@echo 'ruff check';  $(BIN)/ruff check .
	@echo 'ruff format'; $(BIN)/ruff format --check .
	@echo 'mypy';        $(BIN)/mypy

format: setup
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .
