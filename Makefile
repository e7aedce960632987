# Short commands for people and for CI; the work is in .ci/*.sh. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help deps build quickstart test test-runtimes test-long bench bench-update check vendors oclgrind interop fuzz c-library clean

export SWIFT ?= swift
export PROMPT ?= ROMEO:

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install what is missing (OpenBLAS, OpenCL headers, PoCL, Oclgrind, CMake); quick when all is there
	@.ci/deps.sh

build: ## build the release binary, .build/release/forja
	$(SWIFT) build -c release --product forja

quickstart: deps build ## train recipes/quickstart.yaml in a fresh run directory, then generate text after PROMPT
	@.ci/quickstart.sh

test: deps ## every test on the CPU and on PoCL, kernels under Oclgrind; skips are counted
	@.ci/test.sh

test-runtimes: deps ## the engine's tests on Intel's CPU runtime (PyPI), rusticl and Oclgrind; says what was not there
	@.ci/runtimes.sh

vendors: ## compile the kernels for AMD's and Intel's matrix units with their own compilers
	@.ci/vendors.sh

check: deps ## formatting, warnings as errors, sanitizers, the C library by clang and GCC
	@.ci/check.sh

bench: deps ## benchmarks of Benchmarks/: counts that repeat exactly against committed thresholds, times beside
	@.ci/bench.sh

bench-update: deps ## take this machine's counts as the thresholds
	@.ci/bench.sh --update

oclgrind: deps ## every kernel on small shapes in Oclgrind: races and bad addresses
	@.ci/oclgrind.sh

test-long: deps ## runs killed at random moments and resumed, for SOAK_SECONDS (600); a curve beside PyTorch's
	@.ci/test-long.sh

interop: deps build ## our checkpoints in Hugging Face transformers, installed in .build/venv where absent
	@.ci/interop.sh

fuzz: deps ## damaged files and arguments for FUZZ_SECONDS (60): errors, never crashes
	@.ci/fuzz.sh

c-library: deps ## build libforja for C and C++ in build-c/release; docs/c-library.md
	cmake -S cmake -B build-c/release -DFORJA_BUILD_TESTS=OFF
	cmake --build build-c/release --parallel
	@echo "to install: cmake --install build-c/release --prefix PREFIX"

clean: ## remove build outputs; run directories stay
	rm -rf .build build-c
