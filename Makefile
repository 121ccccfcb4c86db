# Two commands do everything: `make demo` shows the bench, `make test` checks it. Both set up first what is missing.
# `make help` lists all.

PYTHON := .venv/bin/python

.PHONY: help demo test setup docs lint types check overhead benchmarks faults speed gpu checkpoint clean

help:  ## these lines
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */\1\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: setup  ## train every method on the embedded suite, then show the table and the figures
	$(PYTHON) bench.py --workers 2

test: setup lint types  ## everything that must hold
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --dist loadfile

setup: .venv/complete  ## a virtual environment with the pinned dependencies (about 6 GB); TORCH=cpu, INSTALLER=pip

.venv/complete: pyproject.toml constraints.txt
	@python3 -c 'import sys; sys.exit("python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@python3 tools/environment.py
	@touch $@

docs: .venv/docs  ## the pages of docs/ as a site, site/index.html; a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet
	@echo "wrote site/index.html"

.venv/docs: .venv/complete
	@python3 tools/environment.py docs
	@touch $@

lint: setup  ## ruff, as in make test
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: setup  ## mypy, as in make test
	$(PYTHON) -m mypy

overhead: setup  ## a whole run of the bench against a bare PyTorch loop; the ratio must be at most 1.05
	$(PYTHON) -m tools.overhead

benchmarks: setup  ## how quick the bench itself is, as ratios within one process; no test measures time
	OMP_NUM_THREADS=1 $(PYTHON) -m tests.benchmarks

faults: setup  ## everything that can go wrong with a grid, tried for real (about a quarter of an hour)
	$(PYTHON) -m tests.faults

speed: setup  ## cached against uncached training, method by method; a few minutes
	$(PYTHON) -m tools.side_by_side
	$(PYTHON) bench.py report speed

gpu: setup  ## planned against measured memory, speed, energy and hours on this card; ARGS=--dry-run tries it without one
	$(PYTHON) -m tools.gpu $(ARGS)
	$(if $(findstring --dry-run,$(ARGS)),,$(PYTHON) bench.py report gpu)

checkpoint: setup  ## pre-train the embedded checkpoint again (about half an hour)
	$(PYTHON) -m tools.pretrain

clean:  ## remove the environment and caches; results stay
	rm -rf .venv build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
