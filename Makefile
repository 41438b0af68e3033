# Four targets do everything: setup, test, bench, report. `make help` explains them.
# GNU make exits 2 for any failed recipe; a CI that wants the contract's exit codes calls `.venv/bin/rtbench run ci`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
OUT ?=
SUPPLY := build/supply

HYPERLANE := servers/hyperlane/target/release/rtbench-hyperlane
GO := servers/go/bin/rtbench-go
NODE := servers/node/node_modules/.package-lock.json
REFERENCE_OUT := $(or $(OUT),results/$(shell date -u +%Y%m%d-%H%M%S)-$(NAME))
RUSTUP := curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y

.DEFAULT_GOAL := help
.PHONY: help setup test bench bench-full bench-matrix report demo calibrate aa hostile reference stacks hyperlane go node docs faults fuzz differential lint types lock audit licences sbom autobahn slow-http clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "rtbench needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# The packages of a run, and the packages of its tests and linters: each set is installed once; later calls work offline.
# A lock has the version and the hashes of every package: pip refuses any other file. `make lock` writes the locks.
INSTALL = $(PIP) install --quiet --require-hashes --requirement $< && $(PIP) install --quiet --no-index --no-deps --no-build-isolation --editable .

$(VENV)/.run: requirements/run.txt pyproject.toml | $(BIN)/python
	$(INSTALL)
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(INSTALL)
	@touch $@ $(VENV)/.run $(VENV)/.stacks

$(VENV)/.stacks: requirements/stacks.txt pyproject.toml | $(BIN)/python
	$(INSTALL)
	@touch $@ $(VENV)/.run

# atheris has wheels for some Pythons and machines only; the target says in one line where it has none.
$(VENV)/.fuzz: requirements/fuzz.txt | $(VENV)/.dev
	@$(PIP) install --quiet --require-hashes --only-binary :all: --requirement $< >/dev/null 2>&1 || { echo "rtbench: atheris has no wheel for this Python and machine: https://pypi.org/project/atheris/#files" >&2; exit 2; }
	@touch $@

$(VENV)/.docs: requirements/docs.txt pyproject.toml | $(BIN)/python
	$(INSTALL)
	@touch $@ $(VENV)/.run

# The tools of the supply chain have an environment of their own: what is audited is not what audits.
$(SUPPLY)/.done: requirements/supply.txt
	$(PYTHON) -m venv $(SUPPLY)
	$(SUPPLY)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes --requirement $<
	@touch $@

setup: $(VENV)/.dev ## create .venv with all packages for running, testing and linting

test: $(VENV)/.dev ## set up and pass the tests, several files at a time: half of their time is waiting (8 to 11 minutes)
	$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(VENV)/.run ## set up, measure four transports with 1,000 subscribers each, write the report (7 to 9 minutes)
	$(BIN)/rtbench run ci $(if $(OUT),--out $(OUT)) $(ARGS)

bench-full: $(VENV)/.run ## the same with longer windows and more blocks (some 50 minutes)
	$(BIN)/rtbench run full $(if $(OUT),--out $(OUT)) $(ARGS)

bench-matrix: $(VENV)/.run ## SSE, WebSocket and both polls on five stacks; what is not installed is left out (some 20 minutes)
	$(BIN)/rtbench run matrix $(if $(OUT),--out $(OUT)) $(ARGS)

hostile: $(VENV)/.run ## attack servers, and show what attackers get and what other subscribers notice (some 4 minutes)
	$(BIN)/python benchmarks/hostile.py $(ARGS)

demo: $(VENV)/.run ## four transports side by side in your browser (PORT=8000 for a port of your choice)
	$(BIN)/rtbench demo --port $(or $(PORT),0) $(ARGS)

calibrate: $(VENV)/.run ## measure the harness's own error and store it for this machine's reports (some 6 minutes)
	$(BIN)/rtbench calibrate $(if $(OUT),--out $(OUT)) $(ARGS)

aa: $(VENV)/.run ## measure this machine's noise floor by twenty A/A pairs (some 30 minutes)
	$(BIN)/rtbench aa $(if $(OUT),--out $(OUT)) $(ARGS)

report: $(VENV)/.run ## rebuild the newest campaign's report from its raw files (DIR=results/... for another)
	$(BIN)/rtbench report $(or $(DIR),$(shell ls -td results/*/campaign.json 2>/dev/null | grep -v reference | head -1 | xargs -r dirname)) $(ARGS)

reference: $(VENV)/.run ## measure a reference result again: make reference NAME=ci (SCENARIO= and ARGS= where they differ)
	@test -n "$(NAME)" || { echo "reference: which one? make reference NAME=ci" >&2; exit 2; }
	$(BIN)/rtbench run $(or $(SCENARIO),$(NAME)) --out $(REFERENCE_OUT) $(ARGS) || [ $$? = 3 ]
	$(BIN)/python benchmarks/reference.py $(REFERENCE_OUT) $(NAME)
	$(BIN)/python benchmarks/quoted.py --write

stacks: $(VENV)/.stacks ## install the Python stacks of more subjects, and build the others that this machine has tools for
	@for stack in hyperlane go node; do $(MAKE) --no-print-directory $$stack || echo "left out: $$stack"; done

hyperlane: $(HYPERLANE) ## build the article's own framework as a subject (needs cargo; once, some 2 minutes)

# rustup installs cargo outside the PATH of shells that are already open. Nothing else depends on this.
$(HYPERLANE): export PATH := $(PATH):$(HOME)/.cargo/bin
$(HYPERLANE): $(addprefix servers/hyperlane/,Cargo.toml Cargo.lock build.rs) $(wildcard servers/hyperlane/src/*.rs)
	@command -v cargo >/dev/null || { echo "rtbench: cargo is missing, which builds hyperlane: $(RUSTUP)" >&2; exit 2; }
	cd servers/hyperlane && cargo build --release --locked
	@touch $@

go: $(GO) ## build the Go stack: net/http and coder/websocket (needs go; once, some 20 seconds)

# Without -buildvcs=false the binary would depend on the commit, without CGO_ENABLED=0 on this machine's libc.
$(GO): export PATH := $(PATH):/usr/local/go/bin
$(GO): $(addprefix servers/go/,go.mod go.sum) $(wildcard servers/go/*.go servers/go/*/*.go)
	@command -v go >/dev/null || { echo "rtbench: go is missing, which builds the Go stack: apt-get install golang-go, or https://go.dev/dl" >&2; exit 2; }
	cd servers/go && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o bin/rtbench-go .
	@touch $@

node: $(NODE) ## set up the Node subjects: ws from npm (needs Node 20 or newer and npm)

$(NODE): servers/node/package.json servers/node/package-lock.json
	@{ command -v npm && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; } >/dev/null 2>&1 || { echo "rtbench: the Node subjects need Node 20 or newer and npm: https://nodejs.org" >&2; exit 2; }
	cd servers/node && npm ci --omit=dev --ignore-scripts
	@touch $@

docs: $(VENV)/.docs ## write the generated pages, build the documentation into site/ (any broken link fails)
	$(BIN)/python -m rtbench.manual
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "to read it: $(BIN)/python -m http.server --directory site 8001"

faults: $(VENV)/.run ## kill, stop and starve a campaign in every phase, check what is left and --resume (as root: all rows)
	$(BIN)/python benchmarks/faults --jobs 3 $(ARGS)

lint: $(VENV)/.dev ## ruff: rules and format; import-linter: the arrows of ARCHITECTURE.md
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.dev ## mypy --strict on all packages
	$(BIN)/mypy

fuzz: $(VENV)/.fuzz ## put the parsers under attack, SECONDS=600 each (TARGET= for one; corpus and findings in .fuzz/)
	$(BIN)/python -m benchmarks.fuzz --seconds $(or $(SECONDS),600) $(if $(TARGET),--target $(TARGET)) $(ARGS)

differential: $(VENV)/.dev ## COUNT=100000 streams through our parsers, npm's eventsource-parser, Chromium and websockets
	$(BIN)/python -m benchmarks.differential --count $(or $(COUNT),100000) $(ARGS)

# Each lock has what its extras need, for CPython 3.11 to 3.13 on Linux; versions stay unless ARGS=--upgrade.
LOCK = $(SUPPLY)/bin/uv pip compile --quiet --universal --generate-hashes --no-strip-extras --python-version 3.11 --custom-compile-command 'make lock' $(ARGS)
OURS = pyproject.toml requirements/build.in
lock: $(SUPPLY)/.done ## write requirements/*.txt, the locks, from pyproject.toml (ARGS=--upgrade for newer versions)
	$(LOCK) --extra test --extra lint $(OURS) --output-file requirements/dev.txt
	$(LOCK) --constraint requirements/dev.txt $(OURS) --output-file requirements/run.txt
	$(LOCK) --constraint requirements/dev.txt --extra stacks $(OURS) --output-file requirements/stacks.txt
	$(LOCK) --constraint requirements/dev.txt --extra docs $(OURS) --output-file requirements/docs.txt
	$(LOCK) --constraint requirements/dev.txt --extra fuzz $(OURS) --output-file requirements/fuzz.txt
	$(LOCK) requirements/supply.in --output-file requirements/supply.txt

audit: $(SUPPLY)/.done ## known vulnerabilities in the locked packages of Python, Rust, Go and Node; names what could not be checked
	$(SUPPLY)/bin/python .ci/audit.py

licences: $(VENV)/.dev $(SUPPLY)/.done ## the licence of every Python package of the environment
	$(SUPPLY)/bin/pip-licenses --python $(BIN)/python --order license --from mixed $(ARGS)

sbom: $(VENV)/.dev $(SUPPLY)/.done ## write build/sbom.json: what the environment is made of (CycloneDX)
	$(SUPPLY)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/sbom.json $(BIN)/python
	@echo build/sbom.json

autobahn: $(VENV)/.dev ## Autobahn's WebSocket cases against our client codec and each stack: a table (some 2 minutes)
	$(BIN)/python benchmarks/autobahn.py $(ARGS)

slow-http: $(VENV)/.run ## slowhttptest against each HTTP subject: a table (some 12 minutes)
	$(BIN)/python benchmarks/slow_http.py $(ARGS)

clean: ## remove derived files: caches and builds (.venv and results stay)
	rm -rf build dist site servers/hyperlane/target servers/go/bin servers/node/node_modules .pytest_cache .mypy_cache .ruff_cache .coverage .hypothesis .fuzz
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
