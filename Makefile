# make demo    set up the light runtime (no torch) and transcribe the samples
# make test    set up everything and run all tests
# make quick   run all tests except the slow ones
# make pythons run the demo and the quick tests on every installed Python, newest and lowest versions
# make check   check formatting, lint, types and the generated pages
# make docs    write the reference of commands and settings from the program
# make site    build the documentation as a web site in build/site
# make bench   measure the figures that the documentation claims, in one table
# make clean   remove the environments and caches

PYTHON ?= python3
DEMO := .venv-demo
DEV := .venv
STAGES := install demo tests  # the stages of make pythons
ONLY :=                       # its environments, such as ONLY="3.12 '3.13.0 lowest'"; none: all
PIP := install --quiet --disable-pip-version-check -c constraints.txt
# Otherwise Python, numba and pip would write into the sources and the user's cache.
IN_DEMO := PYTHONPYCACHEPREFIX=$(CURDIR)/$(DEMO)/compiled NUMBA_CACHE_DIR=$(CURDIR)/$(DEMO)/numba
# A core takes whole files, in the order of tests/conftest.py.
ON_ALL_CORES := -n auto --dist loadfile --no-loadscope-reorder

.PHONY: demo test quick pythons check bench docs site clean

demo: $(DEMO)/installed
	$(IN_DEMO) $(DEMO)/bin/python samples/demo.py

test: $(DEV)/installed
	$(DEV)/bin/python -m pytest $(ON_ALL_CORES)

quick: $(DEV)/installed
	$(DEV)/bin/python -m pytest $(ON_ALL_CORES) -m "not slow"

pythons:
	$(PYTHON) tests/pythons.py --stages $(STAGES) $(if $(strip $(ONLY)),--only $(ONLY))

check: $(DEV)/installed
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/ruff check .
	$(DEV)/bin/mypy
	$(DEV)/bin/python docs/make_pages.py --check

docs: $(DEV)/installed
	$(DEV)/bin/python docs/make_pages.py

site: $(DEV)/installed
	$(DEV)/bin/python docs/make_site.py

bench: $(DEV)/installed
	$(DEV)/bin/python benchmarks/bench.py

$(DEMO)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "ds2 needs Python 3.11 or newer: make $@ PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(DEMO)
	$(IN_DEMO) $(DEMO)/bin/python -m pip $(PIP) --no-cache-dir -e .
	@touch $@

$(DEV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "ds2 needs Python 3.11 or newer: make $@ PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python -m pip $(PIP) -e '.[dev]'
	@touch $@

clean:
	rm -rf $(DEMO) $(DEV) .venv-pythons build .cache .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
