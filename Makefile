# Every target makes its own .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 3
DOCS_PORT ?= 8000
.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-integration dist test-dist sbom faults bench bench-quick docs docs-check check audit format clean

.venv/demo: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cli]'
	@touch $@

.venv/dev: pyproject.toml constraints.txt .venv/demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . --group dev
	@touch $@

.venv/bench: .venv/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . --group bench
	@touch $@

help: ## Show this list.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

demo: .venv/demo ## See real aggregates live, on SQLite.
	@$(BIN)/hitherto demo

test: .venv/dev ## Run every test; brings up its own PostgreSQL.
	$(BIN)/python -m pytest -n $(WORKERS)

test-unit: .venv/dev ## Run the tests that need no server and no other process.
	$(BIN)/python -m pytest -n $(WORKERS) -m 'not integration'

test-integration: .venv/dev ## Run the tests against real servers and processes.
	$(BIN)/python -m pytest -n $(WORKERS) -m integration

dist: .venv/dev ## Build the wheel and the sdist into dist/, and check what they hold.
	$(BIN)/python .ci/dist.py

test-dist: dist ## Test the built wheel on every Python that is found, and each extra alone.
	$(BIN)/python -m tests.release dist/hitherto-*.whl

sbom: .venv/dev ## Tell what a user installs, with its versions, as CycloneDX JSON in dist/.
	@mkdir -p dist
	$(BIN)/python .ci/sbom.py constraints.txt > dist/sbom.cdx.json

faults: .venv/dev ## Run the whole fault matrix, half an hour; rewrites docs/reliability.md.
	$(BIN)/python -m tests.faults

bench: .venv/bench ## Measure everything beside its peers; 45 minutes at most.
	$(BIN)/python -m benchmarks

bench-quick: .venv/bench ## The same in small, two minutes.
	$(BIN)/python -m benchmarks --quick

docs: .venv/dev ## Build the documentation, and serve it on DOCS_PORT of this machine.
	$(BIN)/sphinx-build -W --keep-going -n -q -b html docs build/docs
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs $(DOCS_PORT)

docs-check: .venv/dev ## Look for warnings, names and links that lead nowhere, blocks that nobody runs.
	$(BIN)/sphinx-build -W --keep-going -n -q -E -b dummy docs build/docs-check
	$(BIN)/python -m pytest -q tests/acceptance/test_docs_links.py tests/acceptance/test_docs_listed.py

check: .venv/dev ## Format, lint, types, import rules, known vulnerabilities.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python .ci/public_types.py
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory docs-check
	@$(MAKE) --no-print-directory audit

audit: .venv/dev ## Look for known vulnerabilities in the pinned packages.
	@$(BIN)/python .ci/audit.py constraints.txt

format: .venv/dev ## Format and mend what can be mended.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove what the targets made.
	rm -rf .venv dist build .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
