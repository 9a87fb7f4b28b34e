# Two commands do all the set-up: `make quickstart` (the main job) and `make test`.
PYTHON ?= python3
# On Linux, PyPI's torch may bring CUDA along; give another requirement here to choose the build.
TORCH ?= torch==2.13.0
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt

.PHONY: quickstart test test-slow cluster-test test-wheel lint types check bench clean

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(INSTALL) $(TORCH)
	$(INSTALL) --editable '.[dev]'
	$(INSTALL) --no-deps bfcl-eval mpmath  # its own pins would not fit
	touch $@

quickstart: .venv/ready
	$(BIN)/toolmaster run quickstart

test: .venv/ready
	-$(BIN)/toolmaster model
	$(BIN)/python -m pytest -q -m "not slow" -n 2 --dist loadfile

test-slow: .venv/ready
	$(BIN)/toolmaster model
	$(BIN)/python -m pytest -q -m slow

cluster-test: .venv/ready
	$(BIN)/python -m pytest -q -m cluster

test-wheel: .venv/ready
	$(BIN)/python -m pytest -q -m wheel

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy toolmaster

check: lint types test

bench: .venv/ready
	$(BIN)/python benchmarks/sessions.py
	$(BIN)/python benchmarks/agent_cost.py
	$(BIN)/python benchmarks/sandbox.py
	$(BIN)/python benchmarks/tool_host.py
	$(BIN)/python benchmarks/training_step.py

clean:
	rm -rf .venv build dist
