# Two commands: `make demo` and `make test`. Whatever follows ARGS= is passed on, as in `make demo ARGS="--port 8010"`.

SUITABLE = import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	if $$p -c '$(SUITABLE)' 2>/dev/null; then echo $$p; break; fi; done)
INSTALLED = .venv/.installed
STARTED := $(shell date +%s)

demo: $(INSTALLED)
	@SWITCHYARD_STARTED=$(STARTED) exec .venv/bin/python -m integrations.demo $(ARGS)

test: $(INSTALLED)
	@exec .venv/bin/pytest $(ARGS)

chaos: $(INSTALLED)
	@exec .venv/bin/python -m tests.chaos $(ARGS)

conformance: $(INSTALLED)
	@exec .venv/bin/python -m tests.conformance $(ARGS)

fuzz: $(INSTALLED)
	@exec .venv/bin/python -m tests.fuzz $(ARGS)

# Real accounts, whose keys the environment names; without keys it says which, and does nothing.
live: $(INSTALLED)
	@exec .venv/bin/python -m tests.live

check: $(INSTALLED)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python -m integrations.embedded build/test .venv/bin/python manage.py check
	.venv/bin/python -m integrations.embedded build/test .venv/bin/python manage.py makemigrations --check

# What it does and what it takes, beside its peers; results in build/bench.json (docs/bench.md).
bench: $(INSTALLED)
	@exec .venv/bin/python -m tests.bench $(ARGS)

# One environment for all of it, brought up to date when the lock changes.
$(INSTALLED): requirements.lock
	@$(or $(PYTHON),false) -c '$(SUITABLE)' 2>/dev/null || { \
		echo "Switchyard needs Python 3.11, 3.12 or 3.13; install one, or name it: make demo PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) lacks its venv module; install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Setting up .venv from requirements.lock; this happens once and takes a minute or so ..."
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes -r requirements.lock
	@touch $@

# After a change to pyproject.toml; needs uv.
lock:
	uv pip compile --universal --generate-hashes --all-extras --no-emit-index-url \
		--custom-compile-command "make lock" --quiet --output-file requirements.lock pyproject.toml
	uv pip compile --universal --generate-hashes --constraints requirements.lock --no-emit-index-url \
		--custom-compile-command "make lock" --quiet --output-file deploy/requirements.lock pyproject.toml

.PHONY: demo test bench chaos conformance fuzz check lock live
