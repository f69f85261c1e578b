# edgenet. A new user types `make demo`, a new developer `make test`; each makes the environment itself.
# There is one environment, in two states: `setup` has what users need, `setup-dev` adds the developers' tools.
#
# Variables, all optional:
#   PYTHON=python3.12             the Python (3.10 to 3.14) to make the environment from
#   TORCH_ARGS='--index-url ...'  more arguments for `pip install torch`: another build of PyTorch
#   FOLDER=.venv                  where the environment goes
#   MINUTES=10                    how long `make fuzz` runs; more of its options in FUZZ='--seed 7 --target onnx'
#   TESTS='tests/graph -k conv'   what `make test` gives to pytest instead of the whole suite

PYTHON ?= python3
FOLDER ?= .venv
TORCH_ARGS ?=
TESTS ?=
MINUTES ?= 10
FUZZ ?=
BIN := $(FOLDER)/bin
# The other cores have tests of their own: every program computes with one thread, because the threads of small networks
# take more time to wait for each other than they save. Those that a test asks for must not spin while they wait.
PYTEST := OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder
# One worker more than cores: the emulated Pi's worker waits most of its time, and others wait for programs that they start.
WORKERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
# Tests start edgenet hundreds of times, and each fork of the fuzz imports parts of it. Where Python may not write byte code
# (PYTHONDONTWRITEBYTECODE), as in these forks, each would compile all of it anew.
COMPILE = $(BIN)/python -m compileall -q edgenet device_scripts
export PYTHON FOLDER TORCH_ARGS

.DEFAULT_GOAL := help
.PHONY: help plan setup setup-dev demo test test-quick check format api docs lock notices fuzz

# Whoever types `make setup` hears that all is there; `make demo` needs no such line.
SETUP = tools/setup-environment $(if $(filter $@,$(MAKECMDGOALS)),,--quiet)

help:
	@echo 'For users:'
	@echo '  make plan        what would be downloaded, how large it is and where it goes; changes nothing'
	@echo '  make setup       the environment, in $(FOLDER); `make demo` makes it when needed'
	@echo '  make demo        see it work: ImageNet weights to an int8 model that names what is in a video'
	@echo 'For developers:'
	@echo '  make setup-dev   the same environment with tools for tests, lint and types; these make it when needed:'
	@echo '  make test        the whole test suite'
	@echo '  make test-quick  the suite to run all day, without the slow tests and the browser (under 3 minutes)'
	@echo '  make fuzz        damaged and hostile inputs for every reader and server, for MINUTES=10'
	@echo '  make check       lint, format, types and spelling'
	@echo '  make format      put the format right'
	@echo '  make api         docs/api.md, from the docstrings'
	@echo '  make docs        the documentation as a site, in build/docs/site; a link that leads nowhere is an error'
	@echo '  make notices     the licences of the exported page, and the SBOM, after a change of what edgenet carries'
	@echo '  make lock        requirements/, the SHA-256 of every package, after a change of pyproject.toml or constraints.txt'

plan:
	@tools/setup-environment --plan

setup:
	@$(SETUP)

setup-dev:
	@$(SETUP) --dev

demo: setup
	@$(BIN)/edgenet demo

test: setup-dev
	@$(COMPILE)
	@$(PYTEST) -n $(WORKERS) $(TESTS)

test-quick: setup-dev
	@$(COMPILE)
	@$(PYTEST) -n $(WORKERS) -q -m 'not slow' $(TESTS)

fuzz: setup-dev
	@$(COMPILE)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tools.fuzz --minutes $(MINUTES) $(FUZZ)

check: setup-dev
	@echo 'ruff check';  $(BIN)/ruff check .
	@echo 'ruff format'; $(BIN)/ruff format --check .
	@echo 'mypy';        $(BIN)/mypy
	@echo 'codespell';   $(BIN)/codespell

format: setup-dev
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

api: setup-dev
	@$(BIN)/python -m tools.make_api_reference

docs: setup-dev
	@$(BIN)/python -m tools.make_site

notices: setup-dev
	@$(BIN)/python -m tools.make_notices

lock: setup-dev
	@$(BIN)/python tools/lock-packages
	@$(BIN)/python -m tools.make_notices
