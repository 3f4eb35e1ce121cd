PYTHON ?= python3.11
# Options for pip, such as the index of CPU-only PyTorch builds.
PIP_FLAGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OPENCV := $(shell grep '^opencv-contrib-python-headless==' constraints.txt)

export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_API_URL ?= http://127.0.0.1:4200/api
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-faults bench bench-gpu check photos graph twins doctor server worker deploy label-studio label-studio-stop precommit clean distclean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make the virtual environment in .venv (about 3 GB)

# A new requirement has its pin, and pyproject.toml says where the command `mema` begins.
# OpenCV comes in four distributions that overwrite one another: the headless one is installed last.
$(STAMP): constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install $(PIP_FLAGS) --force-reinstall --no-deps $(OPENCV)
	@touch $@

demo: $(STAMP) ## Run the pipeline on phantoms, then show the headline table
	mema repro
	@mema table
	@mema report

# One thread each: more threads than cores wait for one another. The slow tests wait for servers most of the time.
test test-slow test-faults: export OMP_NUM_THREADS := 1
test: $(STAMP) ## Run the fast tests
	python -m pytest --numprocesses 2 --dist loadfile -m "not (slow or e2e or real or long)"

# In the order of the files: the longest, each alone in its file, would else begin last.
test-slow: $(STAMP) ## Run the tests that `make test` leaves out; those marked real need MEMA_ASSETS
	python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m "(slow or e2e or real) and not long"

test-faults: $(STAMP) ## Kill, cut off and damage everything (nightly); prints a table, also to .scratch/faults.md
	python -m pytest -m "faults or long"

bench: $(STAMP) ## Time the hot paths beside their peers and this machine's limits (a quarter of an hour; docs/speed.md)
	@python -m benchmarks

bench-gpu: $(STAMP) ## The same at the sizes of a GPU: Stable Diffusion whole, 512 px
	@python -m benchmarks --gpu

check: $(STAMP) ## Lint, types, import direction, and the graph
	ruff check .
	ruff format --check .
	pyright
	lint-imports
	dvc repro --dry --allow-missing

photos: $(STAMP) ## Run the pipeline on real photographs (needs MEMA_ASSETS)
	python -m pytest -m real
	python -m phantom.stages.photos

graph: $(STAMP) ## Print the graph of stages as it stands in docs/graph.md
	@dvc dag --md

twins: $(STAMP) ## Train the twins again from public phantoms (hours; resumable)
	dvc repro data/phantom/dvc.yaml

doctor: $(STAMP) ## Check this machine: versions, disk, GPU, checkpoints, servers, remotes
	@mema doctor

POOL ?= gpu
server: $(STAMP) ## Start Prefect's server and its page, closed by a login (docs/operating.md, Prefect)
	@python -m flows.server

worker: $(STAMP) ## Start a worker here: make worker POOL=gpu, or POOL=cpu
	@python -m flows.worker $(POOL)

deploy: $(STAMP) ## Tell the server of this commit's flows: prefect deployment run pipeline/pipeline-phantom
	@python -m flows.deploy

label-studio: $(STAMP) ## Start Label Studio, the readers' accounts and the SAM backend (docs/annotating.md)
	@PIP_FLAGS="$(PIP_FLAGS)" mema annotate start

label-studio-stop: $(STAMP) ## Stop them; what was submitted stays
	@mema annotate stop

precommit: $(STAMP) ## Check before each commit
	pre-commit install

clean: ## Remove unfinished work and caches of tools, keep every result
	rm -rf .scratch .pytest_cache .ruff_cache .import_linter_cache .hypothesis

distclean: clean ## Remove the virtual environment too
	rm -rf $(VENV)
