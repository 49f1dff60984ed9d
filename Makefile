# Needs make, Python 3.10 or newer and a PyPI index; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The version of everything that is installed, for every Python; `make pins` renews it. Empty: the newest.
PINS := constraints.txt
INSTALL = $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python $(if $(PINS),,--upgrade) \
	$(PINS:%=--constraint %) $(PINS:%=--build-constraint %)
DEMO := .demo
NAME := pandas-udf
ARCHIVE = $$(ls $(DEMO)/store/$(NAME)/*/*.tar.gz)
# A Spark that was made for the Python that is there.
SPARK = $$($(BIN)/python -c 'import sys; from envpack.spark.versions import LINES, dotted; \
	print(next(dotted(line.version) for line in LINES if line.version >= (3, 5) and sys.version_info[:2] <= line.declared[1]))')

.PHONY: docs release wheel reference schemas demo test newest pins names fetch acceptance fresh-roots like-macos yarn bench lint clean

# Build a real environment into a local store and run the unpacked Python once.
demo: $(VENV)/envpack
	rm -rf $(DEMO) && mkdir -p $(DEMO)/node/environment
	cat requirements-templates/$(NAME).txt > $(DEMO)/$(NAME).txt && echo '$(PINS:%=-c ../%)' >> $(DEMO)/$(NAME).txt
	$(BIN)/envpack channel init $(DEMO)/channel
	$(BIN)/envpack build $(DEMO)/$(NAME).txt --channel $(DEMO)/channel --store $(DEMO)/store --spark $(SPARK) \
		--python $$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
		--glibc $$($(BIN)/python -c 'import os; print(os.confstr("CS_GNU_LIBC_VERSION").split()[1])')
	tar -xzf $(ARCHIVE) -C $(DEMO)/node/environment
	cd $(DEMO)/node && env -i ./environment/bin/python -c \
		'import sys, pandas, pyarrow; print(sys.executable, "runs pandas", pandas.__version__, "and pyarrow", pyarrow.__version__)'

# The quick tests: real parts, nothing but PyPI needed; the slow ones are named as skipped. Each worker begins with a
# part of its own, as many fixtures are made once for a file, and takes from the others when it has none left.
test: $(VENV)/dev
	$(BIN)/pytest -n auto --dist worksteal

# The quick tests with the newest of everything that pyproject.toml admits, in an environment of its own.
newest:
	rm -rf .newest
	$(MAKE) test VENV=.newest PINS=

# Look up the newest of everything that pyproject.toml admits, for every Python; the index stays out of the file.
pins: $(VENV)/bin/uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.10 pyproject.toml \
		$(patsubst %,--group %,dev bench build demo docs release) --no-annotate --no-emit-index-url \
		--custom-compile-command 'make pins' --output-file $(PINS)

# Renew the table of conda names: `make names NAMES=FILE DATE=YYYY-MM-DD`; see envpack/resolve/mapping.py.
names: $(VENV)/envpack
	$(BIN)/python -m envpack.resolve.mapping "$(NAMES)" "$(DATE)"

# The JSON schemas of a store's objects, made from the types that they are read as.
schemas: $(VENV)/dev
	$(BIN)/python -m tests.support.write_schemas

# docs/cli.md, from what --help shows, and docs/troubleshooting.md, from the texts of the errors.
reference: $(VENV)/dev
	$(BIN)/python -m tests.support.write_reference
	$(BIN)/python -m tests.support.write_troubleshooting
	$(BIN)/python -m tests.support.write_limits

# What the slow ones download, which is kept for later runs.
fetch: $(VENV)/dev
	$(BIN)/python -m tests.support.fetch

# The slow ones: real Sparks, a Jenkinsfile that runs, a second S3 server. They need Java, Maven, npm and Go.
acceptance: $(VENV)/dev
	ENVPACK_ACCEPTANCE=1 $(BIN)/pytest -n 2 --dist loadfile -m acceptance

# A real YARN runs what envpack prints. It needs Java and Maven.
yarn: $(VENV)/dev
	ENVPACK_ACCEPTANCE=1 $(BIN)/pytest -n 2 --dist loadfile -m yarn

# `make demo` and `make test` in fresh roots of Debian's packages, as root and as an ordinary user; an hour.
# It needs root and debootstrap.
fresh-roots: $(VENV)/dev
	ENVPACK_ACCEPTANCE=1 $(BIN)/pytest -rA -m fresh_roots

# The main commands where what macOS lacks is taken away; part of `make acceptance`.
like-macos: $(VENV)/dev
	ENVPACK_ACCEPTANCE=1 $(BIN)/pytest -q tests/acceptance/test_like_macos.py

# One benchmark: `make bench BENCH=pack`. It needs time, disk and a machine that does nothing else; see docs/speed.md.
BENCH ?= pack
bench: $(VENV)/bench
	$(BIN)/python -m bench.$(BENCH)

# The documentation site, in site/; it fails where a page links to a heading that is not there.
docs: $(VENV)/bin/uv
	NO_MKDOCS_2_WARNING=1 $(BIN)/uvx --quiet $(PINS:%=--constraints %) --from mkdocs --with mkdocs-material mkdocs build --quiet --clean

# Wheel and sdist, checked by twine, and the wheel installed and run in an environment of its own. Tag after that.
release: $(VENV)/bin/uv
	rm -rf dist .release
	$(BIN)/uv build --quiet $(PINS:%=--build-constraint %) --out-dir dist .
	$(BIN)/uvx --quiet $(PINS:%=--constraints %) twine check --strict dist/*.whl dist/*.tar.gz
	$(PYTHON) -m venv .release && $(BIN)/uv pip install --quiet --python .release/bin/python dist/*.whl
	cd dist && ../.release/bin/envpack version && ../.release/bin/envpack help build > /dev/null
	cd dist && sha256sum envpack_spark-* > SHA256SUMS && cat SHA256SUMS
	@echo "tag it: git tag -a v$$(.release/bin/envpack version | cut -d' ' -f2)"

# The wheel and its SHA-256, for agents that install it with its hash.
wheel: $(VENV)/bin/uv
	$(BIN)/uv build --quiet $(PINS:%=--build-constraint %) --wheel --out-dir dist .
	cd dist && sha256sum envpack_spark-*.whl

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) .newest .release site dist $(DEMO)

$(VENV)/bin/uv:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10), "envpack needs Python 3.10 or newer; name one: make PYTHON=..."'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINS:%=--constraint %) uv

$(VENV)/envpack: $(VENV)/bin/uv pyproject.toml $(PINS)
	$(INSTALL) --editable .
	touch $@

$(VENV)/dev: $(VENV)/envpack
	$(INSTALL) --group dev
	touch $@

$(VENV)/bench: $(VENV)/dev
	$(INSTALL) --group bench
	touch $@
