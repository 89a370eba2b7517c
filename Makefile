# `make help` lists the targets. Everything is installed into .venv/; each finished step of the set-up
# leaves a stamp there, so that it is not repeated, and a broken-off set-up goes on where it stopped.
# VENV=folder makes and uses another environment, as for another Python.

PYTHON ?= python3
DATA ?=
WHEELS ?=
VENV := .venv
PACKAGES := requirements/packages.txt
MMCV := requirements/mmcv.txt
OTHER_PYTHONS := requirements/python3.10.txt
WORKERS ?= auto
UPSTREAM := VENV=.venv-openmmlab PACKAGES=requirements/openmmlab.txt \
  MMCV=requirements/mmcv-openmmlab.txt
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip
INSTALL := $(PIP) install -q --no-deps --no-build-isolation
DONE := $(VENV)/.done
TARGETS := setup demo test test-long soak test-upstream test-long-upstream bench bench-cuda lint format docs doctor ops clean

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help $(TARGETS)

help: ## list the targets
	@grep -E '^[a-z-]+:.* ## ' $(MAKEFILE_LIST) | sed -E 's/:.* ## /\t/' | expand -t 20

setup: $(DONE)/project ## install everything into .venv (PYTHON=python3.12 picks another Python)

demo: setup ## train, evaluate and draw on the sample data (DATA=folder takes a COCO-format one)
	$(RUN) -m demo $(if $(DATA),--data '$(DATA)')

test: setup ## run the tests, but for the long ones, on all cores (WORKERS=0: one after another)
	$(RUN) -m pytest -m 'not long and not soak' -n $(WORKERS) --maxprocesses 8

test-long: setup ## run the long tests
	$(RUN) -m pytest -m long -n $(WORKERS) --maxprocesses 8

soak: setup ## call each loss 20,000 times on each back end of the CPU: nothing grows or drifts
	$(RUN) -m pytest -m soak -n $(WORKERS) --maxprocesses 8

test-upstream: ## run the tests with OpenMMLab's own packages, in .venv-openmmlab
	$(MAKE) test $(UPSTREAM)

test-long-upstream: ## run the long tests with them
	$(MAKE) test-long $(UPSTREAM)

bench: setup ## measure the losses and a training step on this machine, for about 10 minutes
	$(RUN) -m benchmarks.ghmc_loss
	$(RUN) -m benchmarks.ghmr_loss
	$(RUN) -m benchmarks.training_step
	$(RUN) -m benchmarks.targets

bench-cuda: ## the same on a bare CUDA machine, in 8 minutes (WHEELS=folder installs from there)
	$(PYTHON) -m benchmarks.cuda $(if $(WHEELS),--wheels '$(WHEELS)')

lint: setup ## check the code's style, and the types of the method, the operators and the losses
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: setup ## bring the code into its style
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

docs: $(DONE)/docs ## build the documentation into site/ and check its links
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict
	@echo 'site/index.html; its search needs a server: python3 -m http.server -d site'

doctor: ## show what is installed, and how to repair what is wrong
	@test -x $(RUN) || { echo 'no environment yet: run `make setup`'; exit 1; }
	@$(RUN) tools/setup/doctor.py

ops: $(DONE)/packages ## build mmcv's operators again where they do not fit, as after installing nvcc
	$(RUN) tools/setup/build_mmcv.py "$$(grep -v '^#' $(MMCV))"

clean: ## remove caches and build products; .venv, data and work_dirs stay
	rm -rf build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis
	find ghm_mmdet tools tests configs demo studies benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(DONE)/venv:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 10) <= v[:2] <= (3, 12))' || { \
	  echo "Python 3.10, 3.11 or 3.12 is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1): make setup PYTHON=python3.11"; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(DONE) && touch $@

$(DONE)/build: requirements/build.txt $(DONE)/venv
	$(PIP) install -q -r $<
	@touch $@

# Before mmcv, whose operators are compiled against it; its own dependencies as they are pinned below.
$(DONE)/torch: requirements/torch.txt $(DONE)/build
	$(PIP) install -r $< -c $(PACKAGES) -c $(OTHER_PYTHONS)
	@touch $@

# All OpenCV packages own the same files: removing one alone would break another.
$(DONE)/packages: $(PACKAGES) $(OTHER_PYTHONS) requirements/dev.txt $(DONE)/torch
	$(PIP) uninstall -qqy opencv-python opencv-python-headless
	$(INSTALL) -r $(PACKAGES) -r $(OTHER_PYTHONS) -r requirements/dev.txt
	@touch $@

$(DONE)/docs: requirements/docs.txt $(DONE)/build
	$(INSTALL) -r $<
	@touch $@

# After the quick steps, so that what is wrong with those shows before the long one.
$(DONE)/mmcv: $(MMCV) $(DONE)/packages
	$(RUN) tools/setup/build_mmcv.py "$$(grep -v '^#' $<)"
	@touch $@

$(DONE)/project: pyproject.toml setup.py ghm_mmdet/version.py $(DONE)/mmcv
	$(INSTALL) -q -e .
	@$(RUN) tools/setup/doctor.py
	@touch $@
