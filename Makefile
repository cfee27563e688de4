# `make repro` runs the pipeline, `make test` proves the code; `make help` lists the rest.
SHELL  := /bin/bash
PYTHON ?= python3
VENV   := .venv
# What `make test-interpreters` makes, and of which Python: 3.10 or 3.11.
TORCH_1_13  := .venv-torch-1.13
PYTHON_1_13 ?= $(firstword $(shell command -v python3.10 python3.11) python3.10)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# The download stage may go to the hub, and no other stage does; the tests and benchmarks never.
test test-all bench: export HF_HUB_OFFLINE := 1
export PYTHONDONTWRITEBYTECODE := 1

# Two test files at a time, in the order of tests/conftest.py, one thread each: what they load does not scale with threads.
PYTEST := OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help setup repro sweep test test-all test-interpreters lint bench docker lock clean
.DEFAULT_GOAL := help

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 18

setup: $(VENV)/.ready ## create .venv from requirements/lock.txt

$(VENV)/.ready: requirements/lock.txt requirements/torch.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is too old; modelkiln needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "[1/4] creating $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@echo "[2/4] installing requirements/lock.txt, every file checked against its hash (2 to 4 minutes)"
	@pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/lock.txt
	@echo "[3/4] installing torch"
	@pip install -q --disable-pip-version-check -r requirements/torch.txt
	@echo "[4/4] installing modelkiln, and recording the versions in toolchain.yaml"
	@pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@modelkiln compose --only toolchain
	@touch $@

repro: setup ## run the pipeline with the defaults, and say where the results are
	@dvc repro
	@modelkiln where || { dvc repro --force --single-item upload && modelkiln where; }

sweep: setup ## every backend and variant up to its verdict, and reports/leaderboard.html; registers nothing
	@modelkiln sweep $(SWEEP)
	@modelkiln leaderboard --html reports/leaderboard.html

test: setup lint ## lint, types and the tests
	@$(PYTEST) -m "not heavy" tests

test-all: setup lint ## the tests, and the heavy proofs
	@$(PYTEST) tests

test-interpreters: setup ## compile and judge under Python 3.10 with torch 1.13, which it installs (3.6 GB)
	@test -x $(TORCH_1_13)/.ready || { echo "[1/2] creating $(TORCH_1_13) by $(PYTHON_1_13)" && \
	  $(PYTHON_1_13) -m venv --clear $(TORCH_1_13) && \
	  $(TORCH_1_13)/bin/pip install -q --disable-pip-version-check -r requirements/torch-1.13.txt && \
	  install /dev/null $(TORCH_1_13)/.ready; }
	@echo "[2/2] compiling and judging a tiny model there (2 to 4 minutes)"
	@TORCH_1_13_PYTHON=$(CURDIR)/$(TORCH_1_13)/bin/python pytest -s -m heavy tests/test_interpreters.py

lint: setup ## ruff and mypy --strict
	@ruff check . && ruff format --check . && mypy

bench: setup ## compare with KeyBERT over sentence-transformers on this machine
	@python -m benchmarks.report $(if $(DOCUMENTS),--documents $(DOCUMENTS))

docker: ## build the images modelkiln:generic and modelkiln:serve (docs/containers.md)
	docker build --target generic --tag modelkiln:generic .
	docker build --target serve --tag modelkiln:serve .

# The images' files are resolved inside lock.txt, so they are parts of it (a test holds them to that).
RESOLVE := uv pip compile --override requirements/no-torch.txt --no-emit-package torch --no-emit-package modelkiln --universal \
  --python-version 3.11 --generate-hashes --native-tls -q --custom-compile-command "make lock"

lock: setup ## resolve requirements/lock.in anew, and what the images install of it
	@pip install -q uv && $(RESOLVE) --upgrade requirements/lock.in -o requirements/lock.txt
	@for image in build generic serve; do \
	  $(RESOLVE) --no-annotate --constraint requirements/lock.txt --upgrade requirements/$$image.in -o requirements/$$image.txt \
	    || exit 1; \
	done

clean: ## remove .venv and every result (not the registry)
	rm -rf $(VENV) artifacts reports .mypy_cache .ruff_cache .pytest_cache
