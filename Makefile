# What there is to do with this repository: `make help`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin

.PHONY: help setup demo test test-docker test-sklearn chaos fuzz lint format bench peers pictures lock clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv with everything pinned; quick when nothing changed.
	@scripts/setup.sh

demo: setup ## Bring up a broker, a database and two workers, and tune three libraries on real data.
	@$(BIN)/warren demo

test: setup ## Run all tests, on servers of their own.
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-docker: setup ## Run the tests that need a Docker engine.
	$(BIN)/python -m pytest -m docker

test-sklearn: setup ## Run scikit-learn's own tests of its searches on ours; some minutes.
	$(BIN)/python tests/theirs

chaos: setup ## Kill workers and restart servers under a study of 540 trials, and compare every score; ten minutes.
	PYTHONPATH=tests/support $(BIN)/python tests/chaos

fuzz: setup ## Put 100,000 mutated messages through the decoder and 10,000 through a worker; some minutes.
	PYTHONPATH=tests:tests/support $(BIN)/python -m fuzz

lint: setup ## Check style, types and who imports whom.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## Run every benchmark, against the peers that `make peers` installed.
	$(BIN)/python -m benchmarks

peers: ## Install Ray Tune, Optuna, Dask and Celery into .venv-peers, for `make bench`.
	python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet -r benchmarks/requirements-peers.txt

pictures: setup ## Make the pictures in docs/pictures, of a real study in a real Chromium; two minutes.
	PYTHONPATH=tests/support $(BIN)/python scripts/pictures.py

lock: setup ## Resolve pyproject.toml into the pinned requirements.
	scripts/lock.sh

clean: ## Remove environments, caches and what `make demo` keeps in .warren.
	rm -rf .venv .venv-peers .warren .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
