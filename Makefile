# Everything a newcomer types: `make demo`, `make test`. Needs make and Python 3.11 or newer; writes only inside this folder.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
# python3.11 first: the lock was made with it
ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
endif

# pip would keep a second copy of every download in the home directory
ifndef PIP_CACHE_DIR
export PIP_NO_CACHE_DIR := 1
endif
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PIP := $(BIN)/python -m pip
LOCKED := $(PIP) install --quiet --constraint constraints.txt
LOCAL := $(VENV)/.local
TUNE := $(VENV)/.finetune
DEV := $(VENV)/.dev

.PHONY: help demo demo-finetune test test-long lint format docs lock lock-image bench clean python

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "gemmactl needs Python 3.11 or newer, and none was found as python3.11, python3 or python." >&2; \
		echo "Debian, Ubuntu: apt install python3.11 python3.11-venv    macOS: brew install python@3.11" >&2; \
		echo "Or name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; fi
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(PYTHON) can't make virtual environments: its venv module is missing." >&2; \
		echo "Debian, Ubuntu: apt install python3-venv (or python3.11-venv)" >&2; exit 1; fi

demo: $(LOCAL) ## the main job, done for real on this machine: no account, no GPU, no Docker
	@$(BIN)/gemmactl sandbox demo

demo-finetune: $(TUNE) ## the other main job for real: rows become a served model, on this machine's CPU
	@$(BIN)/gemmactl sandbox demo-finetune

test: $(DEV) ## all quick tests with lint, types and walls
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not long" $(ARGS)

test-long: $(DEV) ## the tests that take minutes
	$(BIN)/python -m pytest -m long $(ARGS)

lint: $(DEV) ## ruff, mypy and the walls alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV) ## put every file into its form
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: $(DEV) ## write the generated pages again
	$(BIN)/python docs/generate.py

bench: $(DEV) ## what a start of the tool costs, how many round trips a look at a model takes, how long a plan reads
	$(BIN)/python bench/start.py
	$(BIN)/python bench/round_trips.py
	$(BIN)/python bench/reads.py

lock: python ## constraints.txt from a fresh environment without it
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet '.[dev]'
	{ sed -n '/^#/p' constraints.txt; $(VENV)-lock/bin/python -m pip freeze --exclude gemmactl \
		| grep -Ev '^(nvidia-|triton|cuda-)' | sed 's/+[^ ;]*//' | LC_ALL=C sort -f; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf $(VENV)-lock

lock-image: python ## the hashes of both images' packages, after a pin in one of their requirements.txt was changed
	$(PYTHON) .ci/image_hashes.py

clean: ## remove what make and the tests made here
	rm -rf $(VENV) $(VENV)-lock dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment: each stamp is older than what it was made from, or it is made again --------------------------------

$(BIN)/python: | python
	$(PYTHON) -m venv $(VENV)

$(LOCAL): constraints.txt pyproject.toml | $(BIN)/python
	@$(call announce,,85 MB,1.3 GB)
	@$(call install,local)
	@touch $@

$(TUNE): constraints.txt pyproject.toml | $(BIN)/python
	@$(call announce,$(comma) trl$(comma) peft$(comma) bitsandbytes$(comma) datasets,220 MB,1.8 GB)
	@$(call install,finetune)
	@touch $@ $(LOCAL)

$(DEV): constraints.txt pyproject.toml | $(BIN)/python
	@$(call announce,$(comma) trl$(comma) bitsandbytes$(comma) datasets and the test tools,270 MB,2 GB)
	@$(call install,dev)
	@touch $@ $(LOCAL) $(TUNE)

comma := ,
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
has_torch = $(BIN)/python -c 'import importlib.metadata as m, sys; sys.exit(m.version("torch").split("+")[0] != "$(TORCH)")' 2>/dev/null
has_gpu = nvidia-smi -L >/dev/null 2>&1
index_answers = $(BIN)/python -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1] + "/torch/", timeout=4)' $(TORCH_CPU_INDEX) >/dev/null 2>&1

# $(call announce,what else,download without torch,on disk with the CPU build)
define announce
if $(has_torch); then echo "Installing into $(VENV): torch $(TORCH) is there; packages that are missing or changed are downloaded."; \
else \
	if $(has_gpu); then torch="the default build, because an NVIDIA GPU is here: about 3 GB on Linux"; \
	elif $(index_answers); then torch="the CPU build from PyTorch's own index, because no NVIDIA GPU is seen: about 190 MB"; \
	else torch="the build that your pip finds: CPU about 190 MB, with CUDA libraries about 3 GB"; fi; \
	echo "About to download and install into $(VENV):"; \
	echo "  torch $(TORCH), $$torch"; \
	echo "  transformers, tokenizers, fastapi, google-cloud clients, typer, rich$(1): about $(2)"; \
	echo "All versions are those of constraints.txt. Nothing is written outside this folder ($(3) on disk with the CPU build)."; \
	echo "pip says nothing while it works, for a few minutes. Ctrl-C stops; the same command goes on."; \
fi
endef

# $(call install,extra): torch alone comes from PyTorch's index, so nothing else can; a failure there leaves the choice to pip's own
# configuration. The build backend comes from the lock as well: no second, unlocked environment is made to build in.
define install
if ! $(has_torch) && ! $(has_gpu) && $(index_answers); then \
	$(LOCKED) --no-deps --index-url $(TORCH_CPU_INDEX) torch==$(TORCH) || echo "PyTorch's index did not deliver: asking pip's own."; \
fi; \
$(LOCKED) hatchling; \
$(LOCKED) --no-build-isolation --editable '.[$(1)]'
endef
