# Everything below needs python3, make and gcc; the first command makes .venv with all the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := .uv/bin/uv
READY  := $(VENV)/.ready
DATA   ?= $(HEARKEN_DATA)

export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-data check format lint types floors docs readme clean help

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 14

demo: $(READY)   ## enhance a noisy talking face, listen before and after, write out/demo/report.html
	$(BIN)/hearken demo -o out/demo

test: $(READY)   ## every test that needs no data: CPU, no network
	$(BIN)/pytest -n 2 -m "not data and not gpu"

test-data: $(READY)  ## the tests on real recordings: make test-data DATA=DIR
	HEARKEN_DATA="$(abspath $(DATA))" $(BIN)/pytest -n 2 -m "data and not gpu"

check: lint types floors docs test  ## all that CI holds

lint: $(READY)   ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

floors: $(READY) ## import-linter: no import runs back up
	$(BIN)/lint-imports

docs: $(READY)   ## generated pages are up to date
	$(BIN)/python benchmarks/readme_table.py --check

readme: $(READY) ## write the README's table anew from the newest benchmark results
	$(BIN)/python benchmarks/readme_table.py

format: $(READY) ## let ruff write
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:           ## remove what was built here
	rm -rf $(VENV) .uv dist build out

$(UV):
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'

$(READY): pyproject.toml uv.lock $(UV)
	UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync --frozen --all-extras --quiet
	@touch $@
