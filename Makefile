# `make help` lists the commands.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin

.PHONY: help setup demo test test-unit test-all test-docker test-compose test-sklearn chaos fuzz test-debian13 lint format bench peers pictures images image-tensorflow image-gpu lock clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Create .venv with pinned versions; fast if nothing has changed.
	@scripts/setup.sh $(SETUP)

# These start servers, so the set-up also checks for a broker before it installs anything.
demo test test-all test-sklearn chaos fuzz bench pictures: SETUP = --servers

demo: setup ## Start a broker, a database and two workers, and tune three libraries on real data.
	@$(BIN)/warren demo

# Four tests at a time, because most wait for processes and servers; unit tests compute, so three.
PYTEST = $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

test: setup ## Run the tests that are not marked slow, on private servers; eight minutes.
	$(PYTEST) -n 4 -m "not docker and not slow"

test-unit: setup ## Run the tests that need no servers and are not marked slow; two minutes.
	$(PYTEST) -n 3 -m "not docker and not slow" tests/unit

test-all: setup ## Run every test that needs no Docker engine; twenty-five minutes.
	$(PYTEST) -n 4 -m "not docker"

test-docker: setup ## Run the tests that need a Docker engine.
	$(BIN)/python -m pytest -m docker

test-compose: setup ## Build the images, start docker-compose.yml, and kill workers during a study; minutes.
	$(BIN)/python -m pytest -m docker tests/acceptance/test_compose.py

test-sklearn: setup ## Run scikit-learn's own tests of its searches on ours; some minutes.
	$(BIN)/python tests/theirs

chaos: setup ## Kill workers and restart servers during a study of 540 trials; ten minutes. CASE=steady kills every two seconds.
	PYTHONPATH=tests/support $(BIN)/python tests/chaos $(CASE)

test-debian13: ## Run demo, lint and test-all in a chroot of Debian 13; needs root and debootstrap; an hour.
	@scripts/debian13.sh

fuzz: setup ## Send 100,000 mutated messages to the decoder and 10,000 to a worker; some minutes.
	PYTHONPATH=tests:tests/support $(BIN)/python -m fuzz

# Where public names are defined: their docstrings document every parameter, result and error.
PUBLIC = producer/submission.py producer/study.py producer/results/study_reader.py \
	producer/models/study_models.py producer/search producer/stack/stack.py \
	producer/cluster/cluster.py producer/space/space.py warren/networks/estimator.py \
	warren/testing worker/testing.py

lint: setup ## Check style, docstrings, types and imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/flake8 $(PUBLIC)
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

# The version in pyproject.toml is the tag.
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

# The images' Python. Use that of the notebook: versions of libraries differ between Pythons.
PYTHON_VERSION = 3.11

images: ## Build the images warren-worker and warren-notebook; PYTHON_VERSION=3.13 for another Python.
	docker build -f worker/Dockerfile --target worker --build-arg PYTHON_VERSION=$(PYTHON_VERSION) \
	  -t warren-worker:$(VERSION) .
	docker build -f worker/Dockerfile --target notebook --build-arg PYTHON_VERSION=$(PYTHON_VERSION) \
	  --build-arg REQUIREMENTS=requirements.txt -t warren-notebook:$(VERSION) .

image-tensorflow: ## Build the image of a worker that also trains networks.
	docker build -f worker/Dockerfile --target tensorflow -t warren-worker:$(VERSION)-tensorflow \
	  --build-arg PYTHON_VERSION=$(PYTHON_VERSION) --build-arg REQUIREMENTS=requirements-tensorflow.txt .

# CUDA 12, as the pinned libraries. The base has no Python: Ubuntu's is 3.12, in several packages.
image-gpu: ## Build the image of a worker that trains on NVIDIA GPUs.
	docker build -f worker/Dockerfile --target gpu -t warren-worker:$(VERSION)-gpu \
	  --build-arg BASE_IMAGE=nvidia/cuda:12.8.1-base-ubuntu24.04 \
	  --build-arg PACKAGES="libgomp1 python3 python3-venv" \
	  --build-arg REQUIREMENTS=requirements-gpu.txt .

pictures: setup ## Make the pictures in docs/pictures from a real study in a real Chromium; two minutes.
	PYTHONPATH=tests/support $(BIN)/python scripts/pictures.py

lock: setup ## Resolve pyproject.toml into pinned requirements.
	scripts/lock.sh

clean: ## Delete environments, caches and the data of `make demo` in .warren.
	rm -rf .venv .venv-peers .warren .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
