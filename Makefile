# make quickstart: install, train and judge five paradigms at tiny scale on built-in music; results go to my_results/.
# make test:       install, run the test suite.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One thread per process: two processes then fill two cores without fighting over them.
export OMP_NUM_THREADS ?= 1

.PHONY: quickstart test lint install clean

quickstart: $(VENV)/installed
	$(BIN)/bench run quickstart

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
