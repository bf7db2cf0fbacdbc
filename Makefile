# The index of the project: `make` lists what there is.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON := .venv/bin/python
BIN := .venv/bin
SPREAD := --numprocesses auto --dist loadgroup
COMPILE := tools/setup uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header

# Containers often set it. Then each worker of pytest compiles every test again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup up demo test test-fast coverage check bench chaos chaos-mutations chaos-proofs protos sql lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Create .venv with everything needed (instant when nothing changed)
	@tools/setup

up: setup ## Run the whole suite on this machine until Ctrl-C
	@$(BIN)/callboard up $(if $(RUNNERS),--runners $(RUNNERS))

demo: setup ## Play the main story in the terminal, on a suite of its own
	@$(PYTHON) -m examples.demo

test: setup ## Run all tests, on all cores
	@$(PYTHON) -m pytest $(SPREAD)

test-fast: setup ## Run the tests that need no engine and no process, in seconds
	@$(PYTHON) -m pytest $(SPREAD) tests/unit tests/house

coverage: setup ## Run all tests, and report which lines and branches of services and libs no test runs
	@rm -rf build/coverage && mkdir -p build/coverage
	@$(BIN)/coverage run -m pytest $(SPREAD)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

check: setup ## Check format, lint, types, import directions, protos and SQL
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTHON) -m tools.protos check
	$(PYTHON) -m tools.sql check

bench: setup ## Measure, and print each figure as a ratio to its floor
	@$(PYTHON) -m bench

chaos: setup ## Inject faults on a schedule drawn from SEED (FAULTS=F1,F7 MINUTES=3), and verify the history
	@$(PYTHON) -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS)) \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(SCHEDULE),--schedule $(SCHEDULE))

chaos-mutations: setup ## Break the code on purpose, and check that make chaos finds each break
	@$(PYTHON) -m tests.chaos.mutate $(if $(ONLY),--only "$(ONLY)")

chaos-proofs: setup ## Measure what is promised about faults: pauses, kills, lost stores, cancels (ONLY=cancels TIMES=100 SEED=7)
	@$(PYTHON) -m tests.chaos.proofs $(if $(ONLY),--only $(ONLY)) $(if $(TIMES),--times $(TIMES)) $(if $(SEED),--seed $(SEED))

protos: setup ## Generate from the protos: messages, stubs, descriptors, the clients
	@$(PYTHON) -m tools.protos generate

sql: setup ## Generate the SQL that comes from the tables of states and codes
	@$(PYTHON) -m tools.sql generate

lock: setup ## Compile requirements/*.in into the lock files (UPGRADE=1 takes new versions)
	$(COMPILE) $(if $(UPGRADE),--upgrade) requirements/uv.in --output-file requirements/uv.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) requirements/runtime.in --output-file requirements/runtime.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) requirements/dev.in -c requirements/runtime.txt \
		--output-file requirements/dev.txt

clean: ## Remove what the tools leave behind; .venv and .callboard stay
	rm -rf .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist bench/out
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
