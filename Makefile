# Every job a person runs. `make help` lists them; each makes the set-up it needs by itself.

# Set here, so that a variable of the same name in the environment changes nothing.
ENV    = cheetah_vel
OUT    =
ARGS   =
RUN    =
WHAT   =
EXTRAS =
PEERS  =
PYTHON ?= python3

venv      := .venv
python    := $(venv)/bin/python
metarl    := $(venv)/bin/metarl
# A stamp carries its checkout's path: an environment that was moved is made anew.
place     := $(shell pwd -P | cksum | cut -d' ' -f1)
run_stamp := $(venv)/.made-$(place)
dev_stamp := $(venv)/.made-dev-$(place)
# Not empty when a set-up was broken off, or the interpreter is gone or too old: then no stamp counts.
current   := $(shell $(python) -c 'import sys; print("yes" * (sys.version_info >= (3, 11)))' 2>/dev/null)
broken    := $(if $(current),$(wildcard $(venv)/.unfinished),yes)
source    := metarl_jax envs experiments tests
pytest    := $(python) -m pytest -n 2

.DEFAULT_GOAL := help
.PHONY: help setup train evaluate list doctor test test-system check format pod-smoke soak bench reproduce lock clean FORCE

help: ## list the jobs and their variables
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@printf '\nvariables\n'
	@printf '  %-16s %s\n' 'ENV=$(ENV)' 'the preset to train' \
	    'OUT=' "the run's folder; by default a new one under runs/" \
	    'ARGS=' 'more options, for instance ARGS="--seed 1 --total-steps 1000000"' \
	    'RUN=' 'the folder of the run to evaluate' \
	    'WHAT=' 'the result to reproduce' \
	    'EXTRAS=' 'for setup: cuda, tpu, tensorboard, wandb, joined by commas' \
	    'PEERS=' 'for bench: PEERS=1 measures PyTorch too, where it is installed' \
	    'PYTHON=$(PYTHON)' 'the interpreter the environment is made with, 3.11 or later'

setup: $(run_stamp) ## make or mend the environment in .venv (EXTRAS=cuda for a GPU)
	@$(if $(EXTRAS),$(python) -m pip install --quiet --no-build-isolation --editable '.[$(EXTRAS)]')
	@echo 'The environment in $(venv) is ready.'

train: $(run_stamp) ## meta-train a policy: make train ENV=cheetah_vel OUT=runs/mine ARGS="--seed 1"
	$(metarl) train $(ENV) $(if $(OUT),--out $(OUT)) $(ARGS)

evaluate: $(run_stamp) ## evaluate a run on meta-test tasks: make evaluate RUN=runs/mine
	@$(if $(RUN),,echo 'make evaluate expects the folder of a run and got none: make evaluate RUN=runs/...' >&2; exit 2)
	$(metarl) evaluate $(RUN) $(ARGS)

list: $(run_stamp) ## list the presets
	$(metarl) list $(ARGS)

doctor: $(run_stamp) ## say what this machine has: versions, devices, physics engines
	$(metarl) doctor $(ARGS)

test: $(dev_stamp) ## run the tests: make test ARGS="-k memory"
	$(pytest) --dist worksteal --ignore=tests/system $(ARGS)

test-system: $(dev_stamp) ## run the tests with real processes, signals, full disks and a browser
	$(python) -m system_checks.pod_smoke
	$(pytest) --dist loadfile $(or $(ARGS),tests/system)

check: $(dev_stamp) ## format, lint, types, both tiers of tests: what a change must pass
	$(python) -m ruff format --check $(source)
	$(python) -m ruff check $(source)
	$(python) -m pyright
	$(MAKE) --no-print-directory test test-system

format: $(dev_stamp) ## rewrite the source in the house's format
	$(python) -m ruff check --fix $(source)
	$(python) -m ruff format $(source)

pod-smoke: $(run_stamp) ## a pod in small: two processes on this machine train, stop and go on as one
	$(python) -m system_checks.pod_smoke

soak: $(run_stamp) ## two hours of training amid kills, signals and full disks: make soak ARGS="--minutes 3"
	$(python) -m system_checks.soak --out $(or $(OUT),runs/soak-$(shell date +%Y%m%d-%H%M%S)) $(ARGS)

bench: $(run_stamp) ## measure the speed of rollouts and updates, and how their cost grows
	$(python) -m benchmarks $(if $(PEERS),--peers) $(ARGS)

reproduce: $(run_stamp) ## make a published result again: make reproduce WHAT=...
	$(python) -m metarl_experiments.reproduce $(WHAT) $(ARGS)

# Universal: one file holds for every system and for Python 3.11 and later.
compile = $(python) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-annotate --no-header pyproject.toml

lock: $(run_stamp) ## renew both lock files after a change of pyproject.toml (ARGS=--upgrade: to the newest)
	$(compile) --group build --output-file requirements.lock $(ARGS)
	$(compile) --group dev --constraint requirements.lock --output-file requirements-dev.lock $(ARGS)

clean: ## delete the tools' caches; never runs/, .venv or anything you made
	rm -rf .cache .hypothesis .pytest_cache .ruff_cache
	find $(source) -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is used as it is found, unless it is broken or was made for another place: then it is
# emptied. Pip comes from ensurepip or, on a Debian without python3-venv, from the pip outside.
define open_environment
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "metarl_jax expects Python 3.11 or later; '$(PYTHON)' is" \
	        "$$($(PYTHON) --version 2>&1 | head -n 1). Name another one: make setup PYTHON=python3.12" >&2; exit 2; }
	@if test -s $(venv)/.unfinished && kill -0 "$$(cat $(venv)/.unfinished)" 2>/dev/null; then \
	    echo "Another make (process $$(cat $(venv)/.unfinished)) is setting up $(venv): wait for it, then try again." >&2; \
	    exit 2; \
	fi
	@if test -n '$(broken)' || { ls $(venv)/.made-* >/dev/null 2>&1 && ! test -e $(run_stamp); }; then \
	    $(PYTHON) -m venv --clear --without-pip $(venv); \
	fi
	@echo $$PPID >$(venv)/.unfinished
	@$(python) -m pip --version >/dev/null 2>&1 || $(python) -m ensurepip >/dev/null 2>&1 || \
	    $(PYTHON) -m pip --python $(python) install --quiet pip
endef

# uv is fast and pip is certain: where uv cannot be had, or does not reach the index that pip is
# configured for, pip installs the same files.
define install
	@echo "Installing the packages of $(1) into $(venv): a minute or two, once." >&2
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock >$(venv)/uv.lock
	@{ $(python) -m pip install --quiet --require-hashes -r $(venv)/uv.lock && \
	    $(python) -m uv pip install --quiet --python $(python) --require-hashes --no-deps -r $(1); } 2>/dev/null || \
	    $(python) -m pip install --quiet --require-hashes --no-deps -r $(1)
endef

$(run_stamp): pyproject.toml requirements.lock $(if $(broken),FORCE)
	$(open_environment)
	$(call install,requirements.lock)
	@$(python) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@rm $(venv)/.unfinished && touch $@

$(dev_stamp): $(run_stamp) requirements-dev.lock
	@echo $$PPID >$(venv)/.unfinished
	$(call install,requirements-dev.lock)
	@rm $(venv)/.unfinished && touch $@
