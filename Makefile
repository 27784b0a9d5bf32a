PYTHON ?= python3
VENV   ?= .venv

.DEFAULT_GOAL := help
.PHONY: help demo test lint clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# One stamp per set of extras: the install runs again only when pyproject.toml changes. The install
# is editable, so a change of the code needs none.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed-%: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

demo: $(VENV)/.installed-demo  ## restore pictures with rain and haze, and write before | after
	$(VENV)/bin/mapjax demo

test: $(VENV)/.installed-dev  ## run the tests
	$(VENV)/bin/pytest -n auto

lint: $(VENV)/.installed-dev  ## check style and types
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python

clean:  ## remove everything that the other targets made
	rm -rf $(VENV) build dist demo-output .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
