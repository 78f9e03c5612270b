# Everything starts from a fresh clone with Python >= 3.11, pip and make.
#   make demo   train, evaluate and try a small EMIM model on the embedded motion dataset; SEED=1 for other videos
#   make test   lint, format check, type check, the documentation's references and the tests, but for the slow ones
#   make test-slow   the documentation site, and the slow tests: more cases of the same kinds, and what takes long in itself
#   make check-types   the tests of the numerics, with all annotations of the library checked at run time
#   make quick  the files of tests that took least time in the last `make test`, for work in progress
#   make docs   the documentation site, in build/docs/index.html
#   make notebooks   execute the notebooks and write their rendered form
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   ?= build/demo
SEED   ?= 0
INPUTS ?= 2000
KILLS  ?= 20
# Two processes, because most of the time goes into compiling on one core; the tests of a file share what they compile.
# A process that died is not replaced: pytest-xdist may give the new one nothing to do and wait for it for ever.
SUITE  := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
# Anew every time, because warnings are of pages that are read, and an error each.
SPHINX := $(BIN)/python -m sphinx --jobs auto --fail-on-warning --keep-going --fresh-env --quiet \
  --doctree-dir build/doctrees
# Compiled programs are kept between runs, which halves the time of a second `make test`.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0.3

.PHONY: demo test test-slow quick check-types peers fuzz kills lint format docs check-docs notebooks lock clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The library alone: what a demo or a training run needs.
$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

# The tools of a developer and of the documentation site, PyTorch for the checkpoint importer, h5py for the labels of
# MPII Cooking 2, what the server is made of, and the TPU compiler for the ahead-of-time report.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev,docs,notebooks,torch,mpii,serve,tpu,onnx,tflite,hub,wandb,mlflow]"
	touch $@

demo: $(VENV)/.installed
	$(BIN)/motion-vit demo --workdir $(DEMO) --seed $(SEED)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/prose.py

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-dev
	$(SPHINX) docs build/docs

# Reads all pages and follows every reference, but writes nothing, which takes two thirds of the time.
check-docs: $(VENV)/.installed-dev
	$(SPHINX) --builder dummy --define autodoc_preserve_defaults=0 docs build/docs

# Executes the notebooks' text forms and writes them, with what they print and draw, beside these.
notebooks: $(VENV)/.installed-dev
	$(BIN)/python notebooks/execute.py

test: $(VENV)/.installed-dev
	$(MAKE) --jobs=2 --output-sync=target lint check-docs
	$(SUITE) --time-files -m "not slow"

# The cases that `make test` leaves out of what it tries on one or two, such as further networks, recipes, formats and
# shapes, and the tests that take long: full-sized networks and training steps against the authors' numbers, runs that
# are killed or split over processes, exports that another process reads, hostile inputs, pages, notebooks and the demo.
test-slow: docs
	$(SUITE) -m slow

# Seconds of two processes together, as they were in the last `make test`.
quick: $(VENV)/.installed-dev
	$(SUITE) --quick 100

# Networks of other libraries, with random weights, against those here: tests that need these libraries.
peers: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[peers]"
	$(BIN)/python -m pytest tests/interop/peers

# Feeds hostile and damaged inputs to the library, of a new seed each time; SEED=7 INPUTS=500 for others.
fuzz: $(VENV)/.installed-dev
	PYTHONPATH=tests:tests/robustness $(BIN)/python tests/robustness/fuzz.py $(if $(filter-out 0,$(SEED)),--seed $(SEED)) --inputs $(INPUTS)

# Kills training and preparation again and again, and compares where they end with undisturbed ones; KILLS=50 for more.
kills: $(VENV)/.installed-dev
	PYTHONPATH=tests $(BIN)/python tests/preparation_kills.py --kills $(KILLS) --seed $(SEED)
	PYTHONPATH=tests $(BIN)/python tests/chaos.py --kills $(KILLS) --seed $(SEED)

# The annotations of arrays and options against what the numerics are called with; tests of wrong arguments are left out.
check-types: $(VENV)/.installed-dev
	MOTION_VIT_CHECK_TYPES=1 $(SUITE) \
	  tests/ops tests/modules tests/models tests/training/inputs tests/training/losses tests/training/step \
	  tests/training/masking tests/training/objectives

clean:
	rm -rf $(VENV) .cache build

# Renews the lock file after a change of pyproject.toml. PyTorch's CUDA packages are left out: which of them are
# needed depends on the PyTorch build.
lock: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet uv==0.13.9
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra docs --extra notebooks --extra torch --extra peers --extra mpii --extra serve --extra tpu --extra onnx --extra tflite --extra hub --extra wandb --extra mlflow --python-version 3.11 --universal \
	  --no-header --annotation-style line --quiet --output-file constraints.txt
	sed -i -E '/^(nvidia|cuda|triton)/d' constraints.txt
