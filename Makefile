# Two commands for a fresh clone: `make demo` and `make test`. They share .venv and are quick the
# second time: a stamp file remembers the pyproject.toml and constraints.txt it was installed from.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# One thread per test process: two workers on two cores must not fight over them.
TEST_ENV := OMP_NUM_THREADS=1 WANDB_MODE=offline
PYTEST := $(TEST_ENV) $(BIN)/python -m pytest
WORKERS ?= 2
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint types format wheel benchmark faults clean
.DELETE_ON_ERROR:

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  (another Python: make demo PYTHON=python3.12)"

demo: $(VENV)/.installed  ## install, then train a VAE on bundled digits on the CPU
	@WANDB_MODE=offline $(BIN)/ganvas train experiment=demo

test: lint types  ## lint, types and the tests that take minutes at most
	@$(PYTEST) -n $(WORKERS) -m "not slow" $(PYTEST_ARGS)

test-all: lint types  ## lint, types and every test
	@$(PYTEST) -n $(WORKERS) $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev  ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev  ## mypy
	@$(BIN)/mypy

format: $(VENV)/.installed-dev  ## ruff: mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

wheel: $(VENV)/.installed-dev  ## build dist/*.whl
	@$(BIN)/python -m build --wheel --no-isolation

benchmark: $(VENV)/.installed  ## training speed against a bare PyTorch loop; evaluation, sweeps, reports
	@$(BIN)/python benchmarks/throughput.py
	@$(BIN)/python benchmarks/evaluation.py
	@$(BIN)/python benchmarks/sweep.py
	@$(BIN)/python benchmarks/report.py
	@$(BIN)/python benchmarks/proof.py

faults: $(VENV)/.installed  ## kill runs, fill disks, …: writes the table of docs/reliability.md (30 minutes)
	@$(BIN)/python experiments/faults/run.py

clean:  ## remove the environment, caches and built files (runs/ stays)
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
	find $(wildcard src tests benchmarks experiments) -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "ganvas needs Python 3.11 or newer, which '$(PYTHON)' is not" \
	    "($$($(PYTHON) --version 2>/dev/null || echo 'it does not run')). Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
	  exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing ganvas and what it needs (a few minutes the first time) ..."
	@$(PIP) install -c constraints.txt -e .
	@touch $@

# It brings all that .installed brings, so it renews that stamp too.
$(VENV)/.installed-dev: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing ganvas and its development tools (a few minutes the first time) ..."
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.installed $@
