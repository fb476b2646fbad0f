# Everything runs in .venv, which the first target that needs it makes from Pipfile.lock.
SHELL := /bin/bash
BIN := .venv/bin
READY := .venv/.synced
WORKERS_OF_TESTS ?= 2

.PHONY: serve seed test check format bench schema lock graphiql clean

serve: $(READY)      ## serve http://localhost:8000/graphql on an embedded PostgreSQL
	@exec $(BIN)/python -m server serve

seed: $(READY)       ## fill the database with a believable practice
	@$(BIN)/python -m server seed

test: $(READY)       ## every test, on a real PostgreSQL of its own
	$(BIN)/python -m pytest -n $(WORKERS_OF_TESTS)

check: $(READY)      ## format, lint, types, import line
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports --no-cache

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)      ## our figures beside the physical limit, in one run
	$(BIN)/python -m bench
	$(BIN)/python -m bench.supply
	$(BIN)/python -m bench.life
	$(BIN)/python -m bench.subscribers

schema: $(READY)     ## print the contract to docs/schema.graphql
	$(BIN)/python -m server schema > docs/schema.graphql

lock: $(READY)       ## choose versions anew; the lock names no index
	PIP_CONFIG_FILE=/dev/null PIPENV_IGNORE_VIRTUALENVS=1 PIPENV_VENV_IN_PROJECT=1 $(BIN)/pipenv lock
	$(BIN)/python -c 'import json, pathlib; path = pathlib.Path("Pipfile.lock"); lock = json.loads(path.read_text()); \
	lock["_meta"]["sources"] = []; [pin.pop("index", None) for group in ("default", "develop") for pin in lock[group].values()]; \
	path.write_text(json.dumps(lock, indent=4) + "\n")'

graphiql:            ## fetch GraphiQL's pinned files again and check their sums
	@server/graphiql/refresh

clean:               ## forget the virtual environment and the embedded database
	rm -rf .venv .data

$(READY): Pipfile.lock
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Holdfast needs Python 3.11 or newer.")'
	test -x $(BIN)/python || python3 -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pipenv
	PIPENV_IGNORE_VIRTUALENVS=1 PIPENV_VENV_IN_PROJECT=1 PIPENV_VERBOSITY=-1 $(BIN)/pipenv sync --dev
	@touch $@
