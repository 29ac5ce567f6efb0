# The targets of everyday work; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
REFERENCE := .venv-reference
BIN := .build/release/guidanced
PYTHON ?= python3
BENCH ?= --fresh
# The compiler that comes with Swift.
CLANG ?= clang

.PHONY: help setup setup-reference setup-bench build demo test test-swift test-python check parity bench bench-kernels fmt clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## Install the Debian packages and the Python environment that are missing
	@scripts/setup

setup-reference: setup ## Also install the reference libraries (torch, transformers, open_clip, …)
	@scripts/setup-reference

setup-bench: setup-reference ## Also install the runtimes that the benchmark compares with
	@scripts/setup-bench

build: setup ## Build the daemon (release)
	swift build -c release --product guidanced

demo: build ## Start the daemon on the embedded model and show its main job; writes demo/
	$(VENV)/bin/python Examples/demo/demo.py --bin $(BIN) --out demo

test: setup ## Every test: Swift, Python client, real daemon, demo
	@scripts/run-tests

check: setup ## Format and lint, strict; layering rules
	@scripts/check

fmt: ## Reformat the Swift sources
	swift format --in-place --recursive --parallel Sources Tests Package.swift

parity: build setup-reference ## Full-size comparison with transformers, torch and open_clip
	@scripts/parity

bench-kernels: ## Speed of each kernel beside the processor's peak (KERNELS="products attention …")
	@mkdir -p .build
	@$(CLANG) -std=gnu11 -O2 -Wall -Wextra -Werror -ISources/CKernels/include Sources/CKernels/*.c \
		Benchmarks/kernels/kernels.c -lpthread -lm -o .build/bench-kernels
	@.build/bench-kernels $(KERNELS)

bench: build setup-bench ## Our speed beside PyTorch, ONNX Runtime and OpenVINO (hours; BENCH=--quick for minutes)
	$(REFERENCE)/bin/python Benchmarks/bench.py $(BENCH)

clean: ## Remove what the targets build
	rm -rf .build .build-openblas demo parity bench $(VENV) $(REFERENCE)
