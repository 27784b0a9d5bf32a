PYTHON ?= python3
VENV   ?= .venv

# A lesson is a script and a notebook with the same cells: the script is written, the notebook made.
LESSONS := $(wildcard notebooks/*.py)

.DEFAULT_GOAL := help
.PHONY: help demo test lint notebooks lessons gpu picture clean $(LESSONS:%=run-%)

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# One stamp per set of extras: the install runs again only when pyproject.toml changes. The install
# is editable, so a change of the code needs none.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed-%: pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV), which takes a minute or two"
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

demo: $(VENV)/.installed-demo  ## restore pictures with rain and haze, and write before | after
	$(VENV)/bin/mapjax demo

test: $(VENV)/.installed-dev  ## run the tests
	$(VENV)/bin/pytest -n auto --durations 25

lint: $(VENV)/.installed-dev  ## check style and types
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python

notebooks: $(LESSONS:%=run-%)  ## run the lessons

$(LESSONS:%=run-%): run-%: % $(VENV)/.installed-notebooks
	MPLBACKEND=agg $(VENV)/bin/python $< >/dev/null

lessons: $(LESSONS:.py=.ipynb)  ## make the notebooks, with their outputs, from the scripts

$(LESSONS:.py=.ipynb): %.ipynb: %.py $(VENV)/.installed-notebooks
	$(VENV)/bin/jupytext --quiet --to ipynb $<
	$(VENV)/bin/jupyter-execute --inplace $@

gpu: $(VENV)/.installed-dev  ## check and measure the kernels on the NVIDIA GPU of this machine
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'jax[cuda12]'
	$(VENV)/bin/pytest tests/kernels tests/ops
	$(VENV)/bin/python kernels/benchmarks/gpu.py --json gpu.json

picture: $(VENV)/.installed-demo  ## make the picture of the README again
	$(VENV)/bin/mapjax demo --output demo-output
	mkdir -p .github
	$(VENV)/bin/python -c "from PIL import Image; \
		Image.open('demo-output/coffee.compare.png').save('.github/before-after.jpg', quality=85)"

clean:  ## remove everything that the other targets made
	rm -rf $(VENV) .venv-* build dist demo-output gpu.json .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
