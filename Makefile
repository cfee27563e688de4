# `make repro` runs the pipeline, `make test` proves the code; `make help` lists the rest.
SHELL  := /bin/bash
PYTHON ?= python3
VENV   := .venv
# What `make test-interpreters` makes, and of which Python: 3.10 or 3.11.
TORCH_1_13  := .venv-torch-1.13
# The first of them that runs: a version manager has a command for each that it knows, chosen or not.
PYTHON_1_13 ?= $(firstword $(shell for each in python3.10 python3.11; do $$each -c '' 2>/dev/null && echo $$each; done) python3.10)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# The download stage may go to the hub, and no other stage does; the tests and benchmarks never.
test test-all bench: export HF_HUB_OFFLINE := 1

# Two test files at a time, in the order of tests/conftest.py, one thread each: what they load does not scale with threads.
PYTEST := OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help setup repro sweep test test-all test-interpreters remote lint bench dist docker lock clean-cache clean
.DEFAULT_GOAL := help

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 18

setup: $(VENV)/.ready ## create .venv from requirements/lock.txt

$(VENV)/.ready: requirements/lock.txt requirements/torch.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is too old; what requirements/lock.txt pins needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
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

test-interpreters: setup $(TORCH_1_13)/.ready ## compile, judge and serve under Python 3.10 with torch 1.13, which it installs (3.6 GB)
	@echo "[2/2] compiling, judging and serving a tiny model there (3 to 5 minutes)"
	@TORCH_1_13_PYTHON=$(CURDIR)/$(TORCH_1_13)/bin/python pytest -s -m heavy tests/test_interpreters.py

$(TORCH_1_13)/.ready: requirements/torch-1.13.txt
	@echo "[1/2] creating $(TORCH_1_13) by $(PYTHON_1_13) (3 to 5 minutes)"
	@$(PYTHON_1_13) -m venv --clear $(TORCH_1_13)
	@$(TORCH_1_13)/bin/pip install -q --disable-pip-version-check -r requirements/torch-1.13.txt
	@touch $@

remote: setup ## name the DVC remote of your team: make remote URL=s3://BUCKET/PATH
	@test -n "$(URL)" || { echo "make: name it: make remote URL=s3://BUCKET/PATH" >&2; exit 1; }
	@dvc remote add -q --force --default prod "$(URL)"
	@dvc remote modify -q prod verify true
	@case "$(URL)" in s3://*) dvc remote modify -q prod connect_timeout 10 && dvc remote modify -q prod read_timeout 60;; esac
	@echo "wrote .dvc/config: commit it. Credentials come from the environment (AWS_…)"

lint: setup ## ruff, mypy --strict, and actionlint and zizmor on .github/
	@ruff check . && ruff format --check . && mypy && actionlint && zizmor --offline --quiet .github

bench: setup ## compare with KeyBERT over sentence-transformers on this machine
	@python -m benchmarks.report $(if $(DOCUMENTS),--documents $(DOCUMENTS))

dist: setup ## build the sdist and the wheel into dist/
	@rm -rf dist && python -m build --no-isolation --outdir dist .

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

clean-cache: setup ## remove from DVC's cache what no branch, tag, experiment, stash or workspace needs
	@modelkiln clean-cache

clean: ## remove .venv and every result (not the registry)
	rm -rf $(VENV) artifacts reports dist .mypy_cache .ruff_cache .pytest_cache
