# `make help` lists the targets. Everything is installed into .venv/; each finished step of the set-up
# leaves a stamp there, so that it is not repeated, and a broken-off set-up goes on where it stopped.

PYTHON ?= python3
DATA ?=
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip
INSTALL := $(PIP) install -q --no-deps --no-build-isolation
DONE := $(VENV)/.done
TARGETS := setup demo test test-long lint format doctor ops clean

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help $(TARGETS)

help: ## list the targets
	@grep -E '^[a-z-]+:.* ## ' $(MAKEFILE_LIST) | sed -E 's/:.* ## /\t/' | expand -t 12

setup: $(DONE)/project ## install everything into .venv (PYTHON=python3.12 picks another Python)

demo: setup ## train, evaluate and draw on the sample data (DATA=folder takes a COCO-format one)
	$(RUN) tools/demo.py $(if $(DATA),--data '$(DATA)')

test: setup ## run the tests, but for the long ones
	$(RUN) -m pytest -m 'not long'

test-long: setup ## run the long tests
	$(RUN) -m pytest -m long

lint: setup ## check the code's style
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

format: setup ## bring the code into its style
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

doctor: ## show what is installed, and how to repair what is wrong
	@test -x $(RUN) || { echo 'no environment yet: run `make setup`'; exit 1; }
	@$(RUN) -m ghm_mmdet.doctor

ops: $(DONE)/packages ## build mmcv's operators again where they do not fit, as after installing nvcc
	$(RUN) -m ghm_mmdet.build_mmcv "$$(grep -v '^#' requirements/mmcv.txt)"

clean: ## remove caches and build products; .venv, data and work_dirs stay
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find ghm_mmdet tools tests configs -name __pycache__ -prune -exec rm -rf {} +

$(DONE)/venv:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 11) <= v[:2] <= (3, 12))' || { \
	  echo "Python 3.11 or 3.12 is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1): make setup PYTHON=python3.11"; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(DONE) && touch $@

$(DONE)/build: requirements/build.txt $(DONE)/venv
	$(PIP) install -q -r $<
	@touch $@

# Before mmcv, whose operators are compiled against it; its own dependencies as packages.txt pins them.
$(DONE)/torch: requirements/torch.txt $(DONE)/build
	$(PIP) install -r $< -c requirements/packages.txt
	@touch $@

# All OpenCV packages own the same files: removing one alone would break another.
$(DONE)/packages: requirements/packages.txt requirements/dev.txt $(DONE)/torch
	$(PIP) uninstall -qqy opencv-python opencv-python-headless
	$(INSTALL) -r requirements/packages.txt -r requirements/dev.txt
	@touch $@

# After the quick steps, so that what is wrong with those shows before the long one.
$(DONE)/mmcv: requirements/mmcv.txt $(DONE)/packages
	$(RUN) -m ghm_mmdet.build_mmcv "$$(grep -v '^#' $<)"
	@touch $@

$(DONE)/project: pyproject.toml ghm_mmdet/version.py $(DONE)/mmcv
	$(INSTALL) -q -e .
	@$(RUN) -m ghm_mmdet.doctor
	@touch $@
