# make demo   a call over WebRTC on this machine, with a model that is shipped: prints the figures, writes demo.mp4
# make test   lint, types, layering, tests
# Both make the virtual environment .venv first; another Python: make PYTHON=/path/to/python3.12 test

VENV ?= .venv
BIN := $(VENV)/bin
PACKAGES := adasr adasr_core sender receiver call export benchmarks training
SOURCES := $(shell find $(PACKAGES) models -type f ! -name '*.pyc' 2>/dev/null)
SUITABLE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3 python,\
	$(shell $(name) -c '$(SUITABLE)' >/dev/null 2>&1 && echo $(name))))
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Two at a time, a file's tests together: half the time on two cores. PYTEST_ARGS= runs them one by one.
PYTEST_ARGS ?= -n 2 --dist loadfile

.PHONY: demo test clean
.DELETE_ON_ERROR:

demo: $(VENV)/.ready-for-demo
	$(BIN)/adasr demo --out demo.mp4 --json demo.json

test: $(VENV)/.ready-for-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(PYTEST_ARGS)

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 to 3.13 with venv found; name one: make PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	touch $@

# An environment that make test made holds the project as it lies here and serves the demo as well.
$(VENV)/.ready-for-demo: $(VENV)/.created pyproject.toml constraints.txt $(SOURCES)
	test -f $(VENV)/.ready-for-test || $(PIP) install -c constraints.txt .
	touch $@

$(VENV)/.ready-for-test: $(VENV)/.created pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e '.[train,landmarks,cluster,dev]'
	$(PIP) install -c constraints.txt --no-deps mediapipe==0.10.21
	touch $@

clean:
	rm -rf $(VENV) build dist demo.mp4 demo.json .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
