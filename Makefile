# make quickstart: install, train and judge five paradigms at tiny scale on built-in music; results go to my_results/.
# make test:       install, run the test suite; PYTEST_ARGS="tests/unit/paradigms" runs a part of it.
# make lint:       style and types.
# make wheel:      build dist/paradigm_bench-*.whl.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One thread per process: two processes then fill two cores without fighting over them.
export OMP_NUM_THREADS ?= 1

.PHONY: quickstart test lint wheel install clean

quickstart: $(VENV)/installed
	$(BIN)/bench run quickstart

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	# mypy looks for the package by its folder's name, which a checkout need not have.
	mkdir -p build/package && ln -sfn ../.. build/package/paradigm_bench
	MYPYPATH=build/package $(BIN)/mypy

wheel: $(VENV)/installed
	rm -rf dist build/lib build/bdist*  # what an earlier build left would get into the wheel
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps -w dist .

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
