# Each target sets up .venv by itself, from nothing but Python >= 3.11 and a network.
PYTHON ?= python3
CORES ?= all
VENV := .venv
BIN := $(VENV)/bin
# Made last: a .venv that you have made yourself, with a torch of your choice in it, is not taken for a finished one.
INSTALLED := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
# One process at a time uses all cores: more threads than cores only slow it down.
export OMP_NUM_THREADS ?= 2
export TOKENIZERS_PARALLELISM = false

.PHONY: help $(VENV) demo report reference site release test test-long test-oldest audit-locked test-faults test-paper test-slurm lint format readme clean triples answers

# The first target: what `make` alone says.
help:
	@echo "make demo        the stand-in experiment, from nothing to the page of results"
	@echo "make test        the tests, two at a time; make test-long: what takes long; make lint, make format"
	@echo "make reference   the generated reference pages; make site: the documentation as a site"
	@echo "make readme      numbers and figures of a finished demo into README and docs"
	@echo "make triples     training triples for models without published ones (CONFIG=…)"
	@echo "make release     checks version, changelog and wheel before a tag"

$(VENV): $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	# torch first: a CPU-only torch that pip is pointed at is taken, and nothing later replaces it.
	$(BIN)/pip install --quiet torch==$$(sed -n 's/^torch==//p' requirements.lock)
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

demo: $(INSTALLED)
	$(BIN)/snakemake --cores $(CORES) --logger presto-bench
	@$(BIN)/snakemake --cores $(CORES) --quiet all --report results/standin/report.html
	@echo "the result is results/standin/report/index.html: open it in a browser (Snakemake's own report, for provenance: results/standin/report.html)"

# The reference pages that are generated: config keys, tables, commands, signatures.
reference: $(INSTALLED)
	$(BIN)/python docs/reference.py

# The documentation as a site, in site/; it fails on any dead link.
site: $(INSTALLED)
	$(BIN)/mkdocs build --strict --quiet

# Copies the numbers and figures of a finished demo run into README and docs.
readme: $(INSTALLED)
	$(BIN)/python docs/update_readme.py

# Two at a time: most of a test's time is start-up of small jobs on one core.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not faults and not slurm and not gpu and not judge and not paper and not browser and not server"

# What takes long: every slow test, the paper's DAG, and the whole matrix of faults, on a real Slurm too (root, Debian).
test-long: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "(slow or faults) and not slurm and not gpu and not judge and not paper and not browser and not server"
	$(BIN)/python -m pytest -m paper
	$(BIN)/python -m pytest -m server
	$(MAKE) test-oldest
	$(MAKE) audit-locked
	$(BIN)/python -m pytest -m slurm

# What `pip install presto-bench` alone brings, on the oldest transformers that it allows; the workflow asks for the locked one.
OLDEST = $$(sed -n 's/^  "transformers>=\(.*\)",$$/\1/p' pyproject.toml | head -1)
test-oldest: $(INSTALLED)
	$(BIN)/pip install --quiet --upgrade --target .oldest transformers==$(OLDEST) 2> /dev/null
	rm -rf .oldest/numpy* .oldest/torch*
	PYTHONPATH=.oldest OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/measures tests/training/test_own_trainer.py tests/training/test_attention_mass.py

# The whole matrix of faults; those on Slurm start a real one on this machine and need root.
test-faults: $(INSTALLED)
	$(BIN)/python -m pytest -m "faults"

# Known vulnerabilities of the locked packages, by PyPI's own list; it needs the network.
audit-locked: $(INSTALLED)
	$(BIN)/python -m venv .audit
	.audit/bin/pip install --quiet pip-audit
	.audit/bin/pip-audit --strict --requirement requirements.lock --no-deps --disable-pip

# The answers that come with the package, made anew by the model: ten minutes and more on a CPU.
ANSWERS := src/presto_bench/policies/data/answers
answers: $(INSTALLED)
	$(BIN)/snakemake --cores $(CORES) results/standin/shipped/smollm2.csv
	mkdir -p $(ANSWERS)
	cp results/standin/shipped/smollm2.csv results/standin/shipped/smollm2.json $(ANSWERS)/

# Triples for models without published ones: make triples CONFIG=config/my.yaml
CONFIG ?= config/paper.yaml
triples: $(INSTALLED)
	$(BIN)/snakemake --cores $(CORES) --configfile $(CONFIG) triples

# The paper's DAG on tiny models, with made-up data and a judge on this machine; `pytest -m paper --short` takes one model family of the three.
test-paper: $(INSTALLED)
	$(BIN)/python -m pytest -m paper

test-slurm: $(INSTALLED)
	$(BIN)/python -m pytest -m slurm

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry src
	$(BIN)/basedpyright --level error --baselinemode=discard
	$(BIN)/snakemake --lint

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile rules
	$(BIN)/python -m presto_bench.config.schema

clean:
	rm -rf results/*/ .snakemake

# Before a tag: the version stands in the changelog, and the wheel holds what it must (tests/workflow/test_wheel.py).
release: $(INSTALLED)
	$(BIN)/python -c "import presto_bench, pathlib; v = presto_bench.__version__; assert f'## {v}' in pathlib.Path('CHANGELOG.md').read_text(), f'CHANGELOG.md has no section {v}'"
	$(BIN)/python -m pytest -q tests/workflow/test_wheel.py
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
