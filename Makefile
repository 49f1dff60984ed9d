# Needs make, Python 3.10 or newer and a PyPI index; everything else is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
DEMO := .demo
NAME := pandas-udf
ARCHIVE = $$(ls $(DEMO)/store/$(NAME)/*/*.tar.gz)

.PHONY: demo test fetch acceptance yarn bench lint clean

# Build a real environment into a local store and run the unpacked Python once.
demo: .venv/envpack
	rm -rf $(DEMO) && mkdir -p $(DEMO)/node/environment && cp requirements-templates/$(NAME).txt $(DEMO)/
	$(BIN)/envpack channel init $(DEMO)/channel
	$(BIN)/envpack build $(DEMO)/$(NAME).txt --channel $(DEMO)/channel --store $(DEMO)/store --spark 3.5 \
		--python $$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
		--glibc $$($(BIN)/python -c 'import os; print(os.confstr("CS_GNU_LIBC_VERSION").split()[1])')
	tar -xzf $(ARCHIVE) -C $(DEMO)/node/environment
	cd $(DEMO)/node && env -i ./environment/bin/python -c \
		'import sys, pandas, pyarrow; print(sys.executable, "runs pandas", pandas.__version__, "and pyarrow", pyarrow.__version__)'

# The quick tests: real parts, nothing but PyPI needed; the slow ones are named as skipped.
test: .venv/dev
	$(BIN)/pytest -n auto

# What the slow ones download, which is kept for later runs.
fetch: .venv/dev
	$(BIN)/python -m tests.support.fetch

# The slow ones: real Sparks, a Jenkinsfile that runs, a second S3 server. They need Java, Maven, npm and Go.
acceptance: .venv/dev
	ENVPACK_ACCEPTANCE=1 $(BIN)/pytest -n 2 --dist loadfile -m acceptance

# A real YARN runs what envpack prints. It needs Java and Maven.
yarn: .venv/dev
	ENVPACK_ACCEPTANCE=1 $(BIN)/pytest -n 2 --dist loadfile -m yarn

# One benchmark: `make bench BENCH=pack`. It needs time, disk and a machine that does nothing else; see docs/speed.md.
BENCH ?= pack
bench: .venv/bench
	$(BIN)/python -m bench.$(BENCH)

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv $(DEMO)

.venv/bin/uv:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10), "envpack needs Python 3.10 or newer; name one: make PYTHON=..."'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

.venv/envpack: .venv/bin/uv pyproject.toml
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable .
	touch $@

.venv/dev: .venv/envpack
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --group dev
	touch $@

.venv/bench: .venv/dev
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --group bench
	touch $@
