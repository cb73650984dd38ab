# make demo, make test: everything needed is set up on the way.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test peers lint coverage bench venv python3-venv clean

demo: venv
	$(BIN)/apmatrix demo examples/three-guests.toml

test: venv
	$(BIN)/pytest -n 2

# The tests of other projects (docs/peers.md); where their sources are: make peers PEERS=DIRECTORY
peers: venv
	$(if $(PEERS),APMATRIX_PEERS='$(PEERS)') $(BIN)/pytest --peers tests/peers

lint: venv
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

# Which lines and branches the tests reach; for some tests only: make coverage TESTS=tests/rules
coverage: venv
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 $(TESTS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

bench: venv
	$(BIN)/python -m benchmarks

venv: $(STAMP)

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "apmatrix needs Python 3.11 or newer: install it or say make PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "apmatrix needs Python 3.11 or newer, $(PYTHON) is older: say make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory python3-venv
	@$(PYTHON) -m venv $(VENV)
	@echo "installing apmatrix and its Python packages into $(VENV)"
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

# Debian has Python's venv in a package of its own: it is installed if we may, unless others would be upgraded with it.
python3-venv:
	@command -v apt-get >/dev/null || { echo "$(PYTHON) lacks the modules venv and ensurepip: install them"; exit 1; }
	@test "$$(id -u)" = 0 || { echo "$(PYTHON) lacks the module ensurepip: as root, apt-get install python3-venv"; exit 1; }
	@echo "installing Debian package python3-venv"
	@apt-get -q update
	@upgraded=$$(apt-get -sq install python3-venv | sed -n 's/^Inst \([^ ]*\) \[.*/\1/p'); test -z "$$upgraded" || { \
	  echo "python3-venv would upgrade" $$upgraded: "install it yourself: apt-get install python3-venv"; exit 1; }
	@apt-get -qy --no-install-recommends install python3-venv

clean:
	rm -rf $(VENV) .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
