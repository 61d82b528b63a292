# What people do here. Every target sets up all it needs: Python 3.11 and the package registries are enough.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
INPUTS ?= 100000
SECONDS ?= 3600
# Tests wait for servers more than they compute: two files at a time take little more than half as long, the longest of them
# not left to the end.
TWO := -n 2 --dist loadfile --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test test-full lint format models soak soak-adapters soak-replicas fuzz bench lock clean

help: ## What can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY) ## One city: four agencies publish, two keep replicas, one person moves house
	$(BIN)/lienthong demo

test: $(READY) ## Every test that this machine can run, on a real Kafka and a real PostgreSQL
	$(BIN)/pytest $(TWO)

test-full: $(READY) ## The same, and a test that would be skipped fails
	$(BIN)/pytest $(TWO) --no-skips

lint: $(READY) ## Ruff, mypy --strict, the arrows between packages, generated code up to date
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/lienthong schemas check
	$(BIN)/lienthong schemas models --check

format: $(READY) ## Format the code and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

models: $(READY) ## Generate the pydantic models again from the .avsc files
	$(BIN)/lienthong schemas models

soak: $(READY) ## Every fault on three brokers for SECONDS=3600; writes build/soak.json
	$(BIN)/python -m tests.fault.suite --seconds $(SECONDS)

soak-adapters: $(READY) ## Long proofs: eight writers for a minute, 200 kills in 50,000 changes of each adapter
	LIENTHONG_SOAK_SECONDS=60 LIENTHONG_SOAK_KILLS=200 LIENTHONG_SOAK_CHANGES=50000 $(BIN)/pytest -n 2 --dist load --timeout 3600 \
		tests/integration/test_outbox.py tests/fault -k "eight_writers or at_random"

soak-replicas: $(READY) ## Long proofs: a daemon of a group cut off from everything, another frozen inside a transaction
	$(BIN)/pytest --timeout 600 tests/fault/long_replica_cut.py

fuzz: $(READY) ## Rubbish for every reader of foreign bytes, 100,000 inputs each or INPUTS=1000000; writes build/fuzz.json
	$(BIN)/python -m tests.fuzz --inputs $(INPUTS)

bench: $(READY) ## Measure every path beside its peers; writes build/bench.json
	$(BIN)/python -m tests.benchmarks

lock: $(READY) ## Choose the newest allowed dependencies anew
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--python-version 3.11 --all-extras --upgrade pyproject.toml --output-file constraints.txt

clean: ## Remove what was built; keep the virtual environment
	rm -rf build dist .lienthong .lienthong-state .pytest_cache .mypy_cache .ruff_cache .hypothesis
