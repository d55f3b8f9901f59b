# Everything happens in .venv, from the lock file; make and Python 3.11, 3.12 or 3.13 are enough.
# Choose the Python with: make env PYTHON=/path/to/python3.12

.DEFAULT_GOAL := help
.PHONY: help env demo test chaos soak fuzz image lint check bench docs lock clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
PYTHON ?=
USABLE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
LOCK := $(COMPILE) --universal --python-version 3.11
# What the images of docker/ have: all that a node of a cluster needs.
IMAGE := --extra cluster --extra postgres --extra remote

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/make \1\t\2/p' Makefile | expand -t 14

env: $(STAMP)  ## Create .venv and install the locked dependencies, if that is not done

# A later run finds the stamp and installs nothing; a run that was cut short left no stamp.
# Of promise, which tensorflow-datasets needs, there is no wheel.
$(STAMP): requirements.lock pyproject.toml
	@set -e; \
	if ! $(BIN)/python -c '$(USABLE)' 2>/dev/null; then \
	  found=; \
	  for python in $(if $(PYTHON),'$(PYTHON)',python3.13 python3.12 python3.11 python3 python); do \
	    if "$$python" -c '$(USABLE)' >/dev/null 2>&1; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "error: Python 3.11, 3.12 or 3.13 with its venv module is needed, but" \
	      "$(if $(PYTHON),$(PYTHON) is none,none is on the PATH); install one, or name it:" \
	      "make env PYTHON=/path/to/python" >&2; \
	    exit 1; \
	  fi; \
	  echo "creating $(VENV) with $$($$found --version)"; \
	  "$$found" -m venv --clear $(VENV); \
	fi
	@echo "installing the locked dependencies into $(VENV); once, one to five minutes"
	@$(PIP) install --quiet --require-hashes --only-binary :all: --no-binary promise -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: env  ## Search small networks on the built-in digits, retrain the best, test it, report it
	@$(BIN)/automl-img search digits --space cnn_small --budget 8 --max-epochs 12 --seed 0

# A module stays in one process, as its tests share fixtures that take long; the order is that of
# tests/conftest.py.
test: env  ## Run the whole test suite
	@$(BIN)/python -m pytest -m "not alone" --numprocesses 3 --dist loadscope --no-loadscope-reorder
	@$(BIN)/python -m pytest -m alone

chaos: env  ## Kill a small search N times at random instants, and see that nothing is lost
	@$(BIN)/python -m tests.search.chaos --kills $(or $(N),100)

soak: env  ## Run N trials of which a tenth goes wrong, and see that nothing grows or is left behind
	@$(BIN)/python -m tests.search.soak --trials $(or $(N),300)

fuzz: env  ## Try N times as many damaged images, tables and archives as the tests do
	@AUTOML_IMG_FUZZ=$(or $(N),20) $(BIN)/python -m pytest tests/data/test_odd.py -k 'more_than_a_sentence or more_than_a_reason' --timeout 3600

image: env  ## Carry out a Dockerfile in a clean root, and try what comes of it; ARGS=--gpu for the other
	@$(BIN)/python -m tests.docker.recipe $(if $(PYTHON),--python $(PYTHON)) $(ARGS)

lint: env  ## Check format, style, types and the direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint  ## The linters and the fast tests: for before each commit
	@$(BIN)/python -m pytest -m "not slow"

# A benchmark is a script; what only others import, such as frame.py, is none.
bench: env  ## Run the short form of every benchmark in benchmarks/
	@set -e; \
	for file in $$(grep -l '^if __name__ ==' benchmarks/*.py); do \
	  echo "$$file --short"; $(BIN)/python "$$file" --short; \
	done

docs: env  ## Write docs/cli.md and docs/space.md anew from the code
	@$(BIN)/python docs/generate.py

lock: env  ## Renew the lock files from the dependencies in pyproject.toml
	@$(LOCK) --extra dev pyproject.toml --output-file requirements.lock
	@$(LOCK) --constraints requirements.lock $(IMAGE) pyproject.toml --output-file docker/requirements-cpu.lock
	@echo 'tensorflow[and-cuda]' | $(COMPILE) --python-version 3.12 --python-platform x86_64-manylinux_2_28 \
	  --constraints docker/requirements-cpu.lock $(IMAGE) pyproject.toml - --output-file docker/requirements-gpu.lock
	@echo hatchling | $(LOCK) --constraints requirements.lock - --output-file docker/requirements-build.lock

clean:  ## Remove .venv and what tools left; runs/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
