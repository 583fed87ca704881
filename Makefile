# Two commands: `make demo` and `make test`. Each makes .venv by itself the first time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UNSLOTH := .venv-unsloth
TEACHERS := .venv-teachers
DOCS := .venv-docs

.PHONY: demo test test-teachers test-unsloth unsloth-trainer unsloth-model unsloth-runs test-matrix coverage lint docs clean

# The CPU build of torch is asked for first where pip can find one; the range is the one in pyproject.toml.
$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "thinklab needs Python 3.11 or newer; run: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet 'torch>=2.10,<2.14'
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/thinklab demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile

# The same trainer under Unsloth, without a GPU: an environment on top of .venv that adds Unsloth and nothing it would break.
$(UNSLOTH)/.installed: $(STAMP) tests/unsloth/requirements.txt
	$(PYTHON) -m venv $(UNSLOTH)
	$(BIN)/python -c 'import site; print(f"import site; site.addsitedir({site.getsitepackages()[0]!r})")' > $$($(UNSLOTH)/bin/python -c 'import site; print(site.getsitepackages()[0])')/main.pth
	$(UNSLOTH)/bin/python -m pip install --quiet --no-deps -r tests/unsloth/requirements.txt
	@touch $@

# Under three minutes on two idle cores: two at a time, each in a process of its own, which imports Unsloth first.
test-unsloth: $(UNSLOTH)/.installed
	$(MAKE) --no-print-directory -j 2 --output-sync=target unsloth-runs unsloth-model unsloth-trainer

# On Unsloth's trainer class alone; then on its real Llama code, whose kernels Triton's interpreter runs.
unsloth-trainer:
	$(UNSLOTH)/bin/python -m pytest -p tests.support.unsloth_first tests/unsloth/test_same_trainer.py
unsloth-model:
	$(UNSLOTH)/bin/python -m pytest -p tests.support.unsloth_emulation tests/unsloth/test_emulated_model.py tests/unsloth/test_emulated_teachers.py
unsloth-runs:
	$(UNSLOTH)/bin/python -m pytest -p tests.support.unsloth_emulation tests/unsloth/test_emulated_run.py tests/gpu

# The teachers whose packages are extras (litellm, signed requests to Bedrock), in an environment on top of .venv: half a minute.
$(TEACHERS)/.installed: $(STAMP) tests/teachers/requirements.txt
	$(PYTHON) -m venv $(TEACHERS)
	$(BIN)/python -c 'import site; print(f"import site; site.addsitedir({site.getsitepackages()[0]!r})")' > $$($(TEACHERS)/bin/python -c 'import site; print(site.getsitepackages()[0])')/main.pth
	$(TEACHERS)/bin/python -m pip install --quiet -r tests/teachers/requirements.txt
	@touch $@

test-teachers: $(TEACHERS)/.installed
	$(TEACHERS)/bin/python -m pytest tests/teachers/test_litellm.py tests/teachers/test_clouds.py

# The loss, parity with stock TRL, and resuming on the oldest and the newest transformers and TRL that pyproject.toml allows.
test-matrix: $(STAMP)
	$(BIN)/python tools/test_matrix.py

# The same tests, with the share of lines they run: fails below the threshold in pyproject.toml. Views are left out. Tracing takes time, so Hypothesis sets no deadlines.
coverage: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile --hypothesis-profile=ci --cov --cov-report=term:skip-covered

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2

# The documentation as a site, in build/site. Its tools are the extra `docs`, in an environment without thinklab: the Python reference
# is read from the sources.
$(DOCS)/.installed: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --upgrade pip
	$(DOCS)/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' > $(DOCS)/requirements.txt
	$(DOCS)/bin/python -m pip install --quiet -r $(DOCS)/requirements.txt
	@touch $@

docs: $(DOCS)/.installed
	$(DOCS)/bin/python tools/make_site.py

clean:
	rm -rf $(VENV) $(UNSLOTH) $(TEACHERS) $(DOCS) build dist *.egg-info
