# make run    the demo site on http://127.0.0.1:8080 and https://127.0.0.1:8443
# make test   all tests
# make bench  side by side with nginx, gunicorn, uWSGI and granian
# Each target sets up what it needs, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint bench bench-setup docs clean

run: $(VENV)/run.stamp
	$(BIN)/tinfront run etc/site.ini

test: $(VENV)/test.stamp lint
	$(BIN)/python -m pytest
	$(BIN)/trial tests.trial

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/run.stamp
	$(BIN)/python -m tinfront.config.docs > docs/options.md

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache _trial_temp*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo 'tinfront needs Python 3.11 or later; say which one: make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo 'this Python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/run.stamp: $(BIN)/python pyproject.toml
	@echo 'installing tinfront into $(VENV) …'
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp
	@echo 'installing what the tests need into $(VENV) …'
	$(BIN)/python -m pip install --quiet --editable '.[test,lint]'
	@touch $@
