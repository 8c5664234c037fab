# One way in for people and for CI: `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

# Processes of the tests start sooner with compiled modules, whatever the surroundings say.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test check format lint types floors bench image-check crash workers properties weather long settings requirements clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(READY): requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@# setuptools first, by its hash: a package without a wheel is built with that one, never with the newest of the day
	@sed -n '/^setuptools==/,/[^\\]$$/p' requirements-dev.txt > $(VENV)/setuptools.txt
	$(PIP) --require-hashes --no-deps -r $(VENV)/setuptools.txt
	$(PIP) --require-hashes --no-deps --no-build-isolation -r requirements-dev.txt
	$(PIP) --no-build-isolation --no-deps --editable .
	@touch $(READY)

install: $(READY) ## set up .venv with pinned, hashed packages and .venv/bin/orchestrator

demo: install ## a whole batch against the sandbox: no keys, no network
	$(BIN)/orchestrator demo

test: install ## the tests, six at a time: they mostly wait (what takes long: crash, workers, properties, weather, long)
	$(BIN)/pytest --numprocesses 6 --dist worksteal

check: install format lint types floors test ## all that CI asks: format, lint, types, floors, tests

format: install
	$(BIN)/ruff format --check .

lint: install
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

floors: install
	$(BIN)/lint-imports

bench: install ## measure everything beside the peers and write docs/benchmarks.md (an hour; parts: python -m benchmarks --help)
	$(BIN)/python -m benchmarks

crash: install ## kill a batch at every edge of every request, restart it, and show what is left (SEEDS=50: random)
	$(BIN)/python -m tests.crash

workers: install ## kill, freeze, stop and replace workers that share a PostgreSQL, restart it, and show what is left (SEEDS=20)
	$(BIN)/pytest -m "workers or slow" --numprocesses 2 tests/workers
	$(BIN)/python -m tests.workers
	$(BIN)/python -m tests.workers --throughput

properties: install ## befall a batch with random faults, cancels, deaths and restarts, and count them (EXAMPLES=500)
	EXAMPLES=$(or $(EXAMPLES),200) $(BIN)/pytest tests/engine/test_properties.py --hypothesis-show-statistics

weather: install ## every fault on every request that goes on for ever: the rows that `make test` leaves out
	$(BIN)/pytest -m weather --numprocesses 6 tests/engine

long: install ## the other long proofs that `make test` leaves out: both slot rules, every kind of agent, the benchmarks
	$(BIN)/pytest -m long --numprocesses 4

image-check: install ## install every package afresh, as the Dockerfile does (asks the package index)
	$(BIN)/pytest -m slow_install tests/acceptance/test_dockerfile.py

settings: install ## write docs/settings.md and config/settings.env.example from the code
	$(BIN)/python -m orchestrator.app.settings_reference

requirements: install ## compile the pinned, hashed requirements again
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --extra dev --extra build --extra traces pyproject.toml --output-file requirements-dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --extra build --extra traces --constraint requirements-dev.txt pyproject.toml --output-file requirements.txt

clean: ## remove what was built, and the local state of demos
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
