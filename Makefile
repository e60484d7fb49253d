# Two commands for a new machine: `make demo` shows the whole loop, `make test` proves it.
# They need Python 3.11 or newer, git and make, and reach the package index alone.

PYTHON ?= python3
VENV   ?= .venv
DEMO_DIR ?= demo
BIN    := $(abspath $(VENV))/bin

# pip's own configuration may name a folder of wheels or a mirror; uv does not read it, so it is handed on.
pip_config = $(shell $(PYTHON) -m pip config get $(1) 2>/dev/null | tr '\n' ',' | sed 's/,$$//')
export UV_FIND_LINKS     ?= $(call pip_config,global.find-links)
export UV_DEFAULT_INDEX  ?= $(call pip_config,global.index-url)
ifeq ($(strip $(UV_FIND_LINKS)),)
unexport UV_FIND_LINKS
endif
ifeq ($(strip $(UV_DEFAULT_INDEX)),)
unexport UV_DEFAULT_INDEX
endif
# Without byte code every start of torch or dvc costs two to three times as much.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test unit lint format bench docs lock pin release mirror clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(VENV)/.installed ## Play the whole loop in demo/ (elsewhere with DEMO_DIR=)
	$(BIN)/beampermit demo --dir "$(DEMO_DIR)"

test: $(VENV)/.installed $(if $(T),,lint) ## Lint, then all tests; a part of them, and no lint, with T=tests/unit/registry
	$(PYTEST) $(T)

unit: $(VENV)/.installed ## The fast tests alone, in two to three minutes on two cores
	$(PYTEST) -m "not slow and not bench"

# One worker more than cores: for a quarter of its time one waits, for a process, a clock or the disk.
PYTEST = $(BIN)/python -m pytest -n $$($(BIN)/python -c 'import os; print(len(os.sched_getaffinity(0)) + 1)') --dist worksteal

lint: $(VENV)/.installed ## Style, types, and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/basedpyright

format: $(VENV)/.installed ## Fix what ruff can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.installed ## Measure speed and memory; docs/performance.md says what was seen
	$(BIN)/python -m pytest tests/bench -m bench -s

docs: $(VENV)/.installed ## Build the documentation site into site/, which a browser opens without a server
	$(BIN)/python scripts/reference
	$(BIN)/python scripts/docs_site.py

lock: ## Lock this repository's own packages again: hashes without addresses
	$(BIN)/uv pip compile pyproject.toml $(LOCKED) -o requirements.lock
	for extra in keyless live s3 azure gs; do \
	  $(BIN)/uv pip compile pyproject.toml --extra $$extra --constraint requirements.lock $(LOCKED) | grep -vxFf requirements.lock > actions/setup/$$extra.lock || exit 1; \
	done
	$(BIN)/uv pip compile pyproject.toml --group dev $(LOCKED) -o requirements-dev.lock
	printf 'uv\npypi-attestations\n' | $(BIN)/uv pip compile - --constraint requirements-dev.lock $(LOCKED) -o .github/publish.lock
	$(BIN)/uv pip compile deploy/mlflow/requirements.in $(LOCKED) -o deploy/mlflow/requirements.lock

LOCKED = --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

pin: $(VENV)/.installed ## Point every workflow and action at one commit: make pin COMMIT=<40 hex>
	$(BIN)/python scripts/pin.py $(COMMIT)

release: $(VENV)/.installed ## Commits, signed tags, wheel and sdist of a version, nothing pushed: make release VERSION=1.2.3
	$(BIN)/python scripts/release.py "$(VERSION)"

mirror: $(VENV)/.installed ## A copy for another place: make mirror OWNER=lab NAME=permit HOST=git.lab.example TO=FOLDER [ENTERPRISE_SERVER=1]
	$(BIN)/python scripts/mirror.py --owner "$(OWNER)" --name "$(or $(NAME),beampermit)" --host "$(or $(HOST),github.com)" \
	  --to "$(TO)" $(if $(ENTERPRISE_SERVER),--enterprise-server)

clean: ## Remove what was made here
	rm -rf $(VENV) demo site .pytest_cache .ruff_cache .cache

# The stamp is written last: an install that was killed is made again.
$(VENV)/.installed: requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements-dev.lock)"
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@
