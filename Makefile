# `make help` lists the targets. Everything is installed into .venv/; each finished step of the set-up
# leaves a stamp there, so that it is not repeated, and a broken-off set-up goes on where it stopped.
# VENV=folder makes and uses another environment, as for another Python.

PYTHON ?= python3
DATA ?=
WHEELS ?=
VENV := .venv
TORCH := requirements/torch.txt
MMCV := requirements/mmcv.txt
PACKAGES := requirements/packages.txt requirements/python3.10.txt requirements/dev.txt \
  requirements/notebook.txt requirements/fine-tuning.txt
PYTHONS := 3.10 3.13
WORKERS ?= auto
CLASSIC := TORCH=requirements/torch-classic.txt MMCV=requirements/mmcv-classic.txt \
  PACKAGES=requirements/classic.txt PYTHONS='3.8 3.10' \
  $(if $(filter file,$(origin VENV)),VENV=.venv-classic) \
  $(if $(filter file,$(origin PYTHON)),PYTHON=python3.10)
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip
INSTALL := $(PIP) install -q --no-deps --no-build-isolation
DONE := $(VENV)/.done
TARGETS := setup demo test test-long soak test-classic test-long-classic bench bench-cuda lint format docs dist doctor ops clean

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help $(TARGETS)

help: ## list the targets
	@grep -E '^[a-z-]+:.* ## ' $(MAKEFILE_LIST) | sed -E 's/:.* ## /\t/' | expand -t 20

setup: $(DONE)/project ## install everything into .venv (PYTHON=python3.12 picks another Python)

demo: setup ## compare GHM-C with focal loss on the sample data (DATA=folder takes a COCO-format one)
	$(RUN) -m demo $(if $(DATA),--data '$(DATA)')

test: setup ## run the tests, but for the long ones, on all cores (WORKERS=0: one after another)
	$(RUN) -m pytest -m 'not long and not soak' -n $(WORKERS) --maxprocesses 8

test-long: setup ## run the long tests
	$(RUN) -m pytest -m long -n $(WORKERS) --maxprocesses 8

soak: setup ## call each loss 20,000 times on each back end of the CPU: nothing grows or drifts
	$(RUN) -m pytest -m soak -n $(WORKERS) --maxprocesses 8

test-classic: ## run the tests with torch 2.1 and OpenMMLab's own packages, in .venv-classic
	$(MAKE) test $(CLASSIC)

test-long-classic: ## run the long tests with them (PYTHON=python3.8 VENV=.venv-3.8 for another Python)
	$(MAKE) test-long $(CLASSIC)

bench: setup ## measure the losses and a training step on this machine, for about 10 minutes
	$(RUN) -m benchmarks.ghmc_loss
	$(RUN) -m benchmarks.ghmr_loss
	$(RUN) -m benchmarks.fixed_cost
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

dist: setup ## build the wheel, which needs no compiler, and the source package into dist/
	GHM_MMDET_COMPILE=0 $(RUN) -m build --no-isolation --outdir dist

doctor: ## show what is installed, and how to repair what is wrong
	@test -x $(RUN) || { echo 'no environment yet: run `make setup`'; exit 1; }
	@$(RUN) tools/setup/doctor.py

ops: $(DONE)/packages ## build mmcv's operators again where they do not fit, as after installing nvcc
	$(RUN) tools/setup/build_mmcv.py "$$(grep -v '^#' $(MMCV))"

clean: ## remove caches and build products; .venv, data and work_dirs stay
	rm -rf build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis
	find ghm_mmdet tools tests configs demo studies benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(DONE)/venv:
	@$(PYTHON) -c 'import sys; low, high = (tuple(map(int, each.split("."))) for each in sys.argv[1:]); \
	  sys.exit(not low <= sys.version_info[:2] <= high)' $(PYTHONS) || { \
	  echo "Python $(firstword $(PYTHONS)) to $(lastword $(PYTHONS)) is needed, $(PYTHON) is" \
	    "$$($(PYTHON) -V 2>&1): name another one, as PYTHON=python3.10"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(DONE) && touch $@

$(DONE)/build: requirements/build.txt $(DONE)/venv
	$(PIP) install -q -r $<
	@touch $@

# torch comes before mmcv, which is compiled against it; PACKAGES pins the dependencies of torch.
$(DONE)/torch: $(TORCH) $(DONE)/build
	$(PIP) install -r $< $(PACKAGES:%=-c %)
	@touch $@

# All OpenCV packages own the same files: removing one alone would break another.
$(DONE)/packages: $(PACKAGES) $(DONE)/torch
	$(PIP) uninstall -qqy opencv-python opencv-python-headless
	$(INSTALL) $(PACKAGES:%=-r %)
	@touch $@

$(DONE)/docs: requirements/docs.txt $(DONE)/build
	$(INSTALL) -r $<
	@touch $@

# mmcv comes after the quick steps, so that their errors show before the long compilation.
$(DONE)/mmcv: $(MMCV) $(DONE)/packages
	$(RUN) tools/setup/build_mmcv.py "$$(grep -v '^#' $<)"
	@touch $@

$(DONE)/project: pyproject.toml setup.py ghm_mmdet/version.py $(DONE)/mmcv
	$(INSTALL) -q -e .
	@$(RUN) tools/setup/doctor.py
	@touch $@
