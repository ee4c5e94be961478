# Every target works on a fresh checkout: .venv is made when something needs it, and made again when the lock changes.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
COMPILE := build/lock/bin/uv pip compile --universal --generate-hashes --quiet --no-config --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock"
VERSIONS := 1.3 1.4 1.5 2
DUCKDBS := $(VERSIONS:%=build/duckdb-%/.installed)
PEERS := build/bench-peers/.installed build/bench-sqlmesh/.installed

# Prefect keeps its files in here, not in the user's home, and reports to nobody.
export PREFECT_HOME := $(CURDIR)/build/prefect
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1

# The tests start the command some hundreds of times: what Python compiled stays, wherever the shell says otherwise.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint docs proto bench faults fuzz lock clean

help: ## say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) | build ## simulate records, run the pipeline as a Prefect flow, show what came out (in build/demo)
	@$(BIN)/python flows/demo.py $(ARGS)

test: $(READY) $(DUCKDBS) | build ## run the tests, all but the slow ones (ARGS="-k lake" for some)
	@$(BIN)/python -m pytest -m "not slow" $(ARGS)

lint: $(READY) ## check style, format and types
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "not formatted: run $(BIN)/ruff format"; exit 1; }
	@$(BIN)/mypy

docs: $(READY) | build ## write docs/tables.md from the tables' SQL files
	@$(BIN)/python -m tidemill.cli.docs > build/tables.md
	@mv build/tables.md docs/tables.md

proto: $(READY) ## describe analytics.proto anew for the gRPC service
	@cd src && ../$(BIN)/python -m grpc_tools.protoc -I. --descriptor_set_out=tidemill/server/analytics.binpb \
		tidemill/server/analytics.proto

bench: $(READY) $(PEERS) | build ## measure speed and memory beside peers (ARGS="--only ingest --scale 1", or --help)
	@$(BIN)/python -m benchmarks $(ARGS)

faults: $(READY) | build ## kill every command at every change of the disk, and at random times (ARGS=--help)
	@$(BIN)/python -m tests.faults $(ARGS)

fuzz: $(READY) build/fuzz/.installed | build ## feed a million mutated lines to the readers (ARGS="--lines 100000", or --help)
	@PYTHONPATH=build/fuzz $(BIN)/python -m tests.fuzz $(ARGS)

lock: | build ## write every lock from its ranges (ARGS=--upgrade for the newest of everything)
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check -qq install "uv>=0.9"
	@$(COMPILE) pyproject.toml --extra flows --extra serve --group dev --output-file requirements.lock $(ARGS)
	@grep -oE '^(duckdb|pyarrow)==[^ ]+' requirements.lock > build/engines.txt
	@$(COMPILE) benchmarks/peers.in --python-version 3.11 --no-strip-extras --constraints build/engines.txt \
		--output-file benchmarks/peers.lock $(ARGS)
	@$(COMPILE) benchmarks/sqlmesh.in --python-version 3.11 --no-strip-extras \
		--output-file benchmarks/sqlmesh.lock $(ARGS)
	@$(COMPILE) tests/fuzz/atheris.in --python-version 3.11 --no-strip-extras \
		--output-file tests/fuzz/atheris.lock $(ARGS)
	@for version in $(VERSIONS); do echo "duckdb==$$version.*" | $(COMPILE) - --python-version 3.11 --no-annotate \
		--output-file tests/duckdbs/$$version.lock $(ARGS) || exit 1; done
	@for lock in requirements.lock benchmarks/*.lock tests/fuzz/atheris.lock tests/duckdbs/*.lock; do \
		echo "$$lock: $$(grep -c '^[a-z].*==' $$lock) packages"; done

clean: ## remove .venv, build/, dist/ and every cache; data/ stays
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

build:
	@mkdir -p $@

# The lock constrains itself: pip before 23.3 does not see that `name==1` also pins `name[extra]`, and takes the newest.
$(LOCKED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "tidemill needs Python 3.11 to 3.13; name one: make PYTHON=python3.13"; exit 1; }
	@echo "Installing what requirements.lock names into $(VENV): a minute or two, once"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes -r requirements.lock -c requirements.lock
	@touch $@

$(READY): $(LOCKED) pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# What cannot be installed is no reason to measure nothing: its log says why, RESULTS.md tells it, the next run tries again.
build/bench-%/.installed: benchmarks/%.lock | build
	@echo "Installing what $< names into $(@D): a minute, once"
	@$(PYTHON) -m venv --clear $(@D)
	@if $(@D)/bin/python -m pip --disable-pip-version-check --no-input -qq install --require-hashes -r $< \
		> $(@D).log 2>&1; then touch $@; else echo "$(@D) cannot be installed; $(@D).log says why" >&2; fi

# Beside the environment, which stays as requirements.lock has it; without it, lines are mutated by chance alone.
build/fuzz/.installed: tests/fuzz/atheris.lock | build
	@mkdir -p $(@D)
	@if $(PIP) install --no-deps --require-hashes --upgrade --target $(@D) -r $< > $(@D).log 2>&1; then touch $@; \
		else echo "atheris cannot be installed; $(@D).log says why" >&2; fi

# Other releases of DuckDB, each in a folder of its own: the tests open the published catalog with them.
build/duckdb-%/.installed: tests/duckdbs/%.lock $(LOCKED) | build
	@echo "Installing what $< names into $(@D): seconds, once"
	@rm -rf $(@D)
	@if $(PIP) install --no-deps --require-hashes --target $(@D) -r $< > $(@D).log 2>&1; then touch $@; \
		else echo "$(@D) cannot be installed, and its tests will fail; $(@D).log says why" >&2; fi
