# Everything from a fresh clone: nothing but make and Python >= 3.11 is needed.

SHELL := /bin/bash
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
# A fresh key for one command.
SECRET = SECRET_KEY="$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))')"
# Looking at models needs no database of anyone's.
NO_DATABASE = DATABASE_URL=sqlite://:memory:

.PHONY: bench help install lock lint test test-style test-sqlite test-sqlite-site test-sqlite-apps test-postgresql test-postgresql-site test-postgresql-apps test-postgresql-15 test-browser test-proxies screenshots torture torture-feed fuzz hostile demo

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1@/p' $(MAKEFILE_LIST) | column -t -s@ 2>/dev/null || grep '##' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## the virtual environment .venv, with everything

$(INSTALLED): requirements.txt requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Ractory needs Python 3.11 or newer; there is none on the PATH." >&2; exit 1; }
	@echo "Installing into .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

# For every Python that is supported, and for every platform. Versions that are locked stay unless ARGS=--upgrade.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' pyproject.toml

lock: $(INSTALLED)  ## requirements.txt and requirements-dev.txt anew from the pins in pyproject.toml
	$(LOCK) --output-file requirements.txt $(ARGS)
	$(LOCK) --group dev --constraints requirements.txt --output-file requirements-dev.txt $(ARGS)

lint: $(INSTALLED)  ## style, types, migrations, deployment checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(SECRET) $(BIN)/mypy
	$(NO_DATABASE) $(SECRET) $(BIN)/python manage.py makemigrations --check --dry-run
	$(NO_DATABASE) $(SECRET) DEBUG=false BEHIND_TLS=true \
		$(BIN)/python manage.py check --deploy --fail-level WARNING

PARTS = test-style test-sqlite-site test-sqlite-apps \
	$(if $(DATABASE_URL),test-postgresql,test-postgresql-site test-postgresql-apps)

test: $(INSTALLED)  ## lint and, at the same time, all tests on SQLite and on PostgreSQL
	@mkdir -p .cache
	@$(MAKE) --no-print-directory --jobs=5 TOGETHER=yes $(PARTS); code=$$?; \
		tail -n 1 $(PARTS:%=.cache/%.log); exit $$code

test-style:
	@set -o pipefail; $(MAKE) --no-print-directory lint $(OUTPUT)

# Of tests that run together each line begins with the name of its part; the last one is shown again at the end.
OUTPUT = $(if $(TOGETHER),2>&1 | tee .cache/$@.log | while IFS= read -r line; do echo "$@: $$line"; done)

test-sqlite: $(INSTALLED)
	@set -o pipefail; env -u DATABASE_URL $(BIN)/python -m pytest --quiet $(ARGS) $(OUTPUT)

# DATABASE_URL names another PostgreSQL than the one of the wheel.
test-postgresql: $(INSTALLED)
	@set -o pipefail; $(BIN)/python -m ractory.tests.postgresql --no-fsync $(BIN)/python -m pytest --quiet $(ARGS) $(OUTPUT)

# The same in two halves of about the same length, those on PostgreSQL each on a server of its own. These take longest, and
# wait now and then: so they have the processors first.
test-sqlite-site test-postgresql-site: HALF = ractory --ignore=ractory/api
test-sqlite-apps test-postgresql-apps: HALF = ractory/api tenants pieces sync bench client
test-sqlite-site test-sqlite-apps: $(INSTALLED)
	@set -o pipefail; $(if $(TOGETHER),nice -n 2) env -u DATABASE_URL $(BIN)/python -m pytest --quiet $(HALF) $(ARGS) $(OUTPUT)

test-postgresql-site test-postgresql-apps: $(INSTALLED)
	@set -o pipefail; $(BIN)/python -m ractory.tests.postgresql --no-fsync \
		$(BIN)/python -m pytest --quiet $(HALF) $(ARGS) $(OUTPUT)

# As root or as postgres; the server is made for this run, and goes with it.
test-postgresql-15: $(INSTALLED)  ## the suite on Debian's PostgreSQL 15 (apt-get install postgresql-15 postgresql-common)
	pg_virtualenv -v 15 -o fsync=off bash -c 'psql -q -d postgres \
		-c "CREATE ROLE ractory LOGIN CREATEDB NOSUPERUSER NOBYPASSRLS PASSWORD '"'"'ractory'"'"'" \
		-c "CREATE DATABASE ractory OWNER ractory" && \
		DATABASE_URL=postgres://ractory:ractory@$$PGHOST:$$PGPORT/ractory $(BIN)/python -m pytest --quiet $(ARGS)'

# axe-core, which looks at pages as a blind or a colour-blind person meets them.
AXE = ractory/tests/browser/node_modules/.package-lock.json

$(AXE): ractory/tests/browser/package.json ractory/tests/browser/package-lock.json
	npm ci --silent --prefix ractory/tests/browser
	@touch $@

# Chromium and npm are Debian's, so that installing them needs root: these are no part of `make test`.
test-browser: $(INSTALLED) $(AXE)  ## the staff's pages in Chromium (apt-get install chromium chromium-driver zbar-tools poppler-utils npm)
	env -u DATABASE_URL $(BIN)/python -m pytest --quiet -o python_files='walk_*.py' $(ARGS) ractory/tests/browser

# PgBouncer, nginx, promtool and systemd-analyze are Debian's, too.
test-proxies: $(INSTALLED)  ## through PgBouncer, nginx, promtool, systemd (apt-get install pgbouncer nginx-light openssl prometheus systemd)
	env -u DATABASE_URL $(BIN)/python -m pytest --quiet -o python_files='through_*.py' $(ARGS) ractory/tests/proxies

screenshots: $(INSTALLED)  ## the pictures of docs/staff.md, anew
	env -u DATABASE_URL $(BIN)/python -m pytest --quiet -o python_files='shoot_*.py' ractory/tests/browser

# TORTURE_KILLS, TORTURE_BATCHES, TORTURE_SECONDS, TORTURE_OVERLAP, TORTURE_SEED: see bench/torture.py.
torture: $(INSTALLED)  ## kill server and database 500 times under load; 10 to 25 minutes
	$(BIN)/python -m bench.torture

# TORTURE_SECONDS, TORTURE_SEED.
torture-feed: $(INSTALLED)  ## the change feed under writers that commit late, with everything killed; 8 minutes
	$(BIN)/python -m bench.feed_torture

fuzz: $(INSTALLED)  ## a million requests that no client would send; an hour or more (ARGS='--processes 2')
	$(BIN)/python -m bench.fuzz $(ARGS)

hostile: $(INSTALLED)  ## what attacks do to others, through nginx; 7 minutes (apt-get install nginx-light)
	$(BIN)/python -m bench.hostile $(ARGS)

bench: $(INSTALLED)  ## every measurement; writes docs/performance.md
	$(SECRET) $(BIN)/python -m bench $(ARGS)

demo: $(INSTALLED)  ## a server with 1000 pieces in it, until Ctrl-C
	@$(SECRET) $(BIN)/python -m bench.demo
