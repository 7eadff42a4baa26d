# make run    the demo site on http://127.0.0.1:8080 and https://127.0.0.1:8443
# make test   all tests
# make docs   render the option reference, docs/options.md
# make fuzz   look for bytes that break what reads them, for a minute
# make bench  side by side with nginx, gunicorn, uWSGI and granian
# make bench-slow  what slow clients, bursts and overload do to it and to the peers
# make apps   real applications behind tinfront: WsgiDAV under litmus, hg, git, pip and twine, Trac, Django …
# make bench-faults  killed workers, reloads, stuck code, leaks under load: what clients see of it
# Each target sets up what it needs, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# modules of synchronous TestCases
TRIAL := tests/test_tap.py tests/test_signals.py

.PHONY: run test lint fuzz bench bench-slow bench-faults bench-setup apps docs clean

run: $(VENV)/run.stamp
	$(BIN)/tinfront run etc/site.ini

test: $(VENV)/test.stamp lint
	$(BIN)/python -m pytest -n auto --maxprocesses=4 --dist loadfile
	$(BIN)/trial --temp-directory $(VENV)/trial $(TRIAL)

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Heads, chunked bodies and INI files, 20 s each. FUZZ passes options on: make fuzz FUZZ="--seconds 600 head"
fuzz: $(VENV)/fuzz.stamp
	$(BIN)/python -m fuzz $(FUZZ)

# Side by side with the peers. BENCH passes options on: make bench BENCH="--quick --only hello"
bench: bench-setup
	$(BIN)/python -m bench $(BENCH)

# BENCH passes options on here as well: make bench-slow BENCH="--quick --only beside"
bench-slow: bench-setup
	$(BIN)/python -m bench.slow $(BENCH)

# What clients see of faults. FAULTS passes options on: make bench-faults FAULTS="--seconds 4 --only kill-get"
bench-faults: bench-setup
	$(BIN)/python -m bench.faults $(FAULTS)

# Installs the peers that are lacking: by apt-get as root or with a sudo that asks nothing, else it says what to install.
bench-setup: $(VENV)/run.stamp
	@root=; [ "$$(id -u)" = 0 ] || root="sudo -n"; \
	lacks() { ! command -v "$$1" >/dev/null && [ ! -x "/usr/sbin/$$1" ]; }; \
	debian() { \
	  echo "bench-setup: installing $$*"; \
	  $$root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$$@" >/dev/null || \
	    echo "bench-setup: please install $$* (the bench leaves out what is not there, but needs wrk)"; \
	}; \
	for each in nginx wrk; do if lacks $$each; then debian $$each; fi; done; \
	for each in gunicorn granian; do \
	  [ -x $(BIN)/$$each ] || $(BIN)/python -m pip install -q $$each || \
	    echo "bench-setup: $$each could not be installed"; \
	done; \
	[ -x $(BIN)/waitress-serve ] || $(BIN)/python -m pip install -q waitress || \
	  echo "bench-setup: waitress could not be installed"; \
	[ -x $(BIN)/uwsgi ] || $(BIN)/python -m pip install -q uwsgi || \
	  if lacks uwsgi; then debian uwsgi-core uwsgi-plugin-python3; fi

# In a virtual environment of its own. FRAMEWORKS are in the other tests, too.
APPS := $(VENV)/apps
FRAMEWORKS := tests/e2e/test_django.py tests/e2e/test_flask.py tests/e2e/test_pyramid.py
apps: $(APPS)/stamp
	@root=; [ "$$(id -u)" = 0 ] || root="sudo -n"; \
	for each in litmus git; do \
	  command -v $$each >/dev/null || { echo "apps: installing $$each"; \
	    $$root apt-get update -qq; \
	    $$root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$each >/dev/null; }; \
	done
	$(APPS)/bin/python -m pytest -q -r fE --apps tests/e2e/wild $(FRAMEWORKS)

$(APPS)/stamp: $(BIN)/python pyproject.toml
	@echo 'installing tinfront and the applications into $(APPS) …'
	$(BIN)/python -m venv $(APPS)
	$(APPS)/bin/python -m pip install -qq --editable '.[test,apps]'
	@touch $@

docs: $(VENV)/run.stamp
	$(BIN)/python -c 'from tinfront.catalog import discover; from tinfront.config.docs import render; print(render(discover()), end="")' > docs/options.md

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache _trial_temp*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo 'tinfront needs Python 3.11 or later; say which one: make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo 'this Python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade pip

$(VENV)/run.stamp: $(BIN)/python pyproject.toml
	@echo 'installing tinfront into $(VENV) …'
	$(BIN)/python -m pip install -qq --editable .
	@touch $@

$(VENV)/fuzz.stamp: $(VENV)/run.stamp
	@echo 'installing the fuzzer into $(VENV) …'
	$(BIN)/python -m pip install -qq --editable '.[fuzz]'
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp
	@echo 'installing what the tests need into $(VENV) …'
	$(BIN)/python -m pip install -qq --editable '.[test,lint]'
	@touch $@
