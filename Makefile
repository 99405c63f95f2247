# Two commands are enough to begin: `make demo` shows the main job, `make test` checks everything.
# `make` alone lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The S3 server that the tests run against: versitygw (default) or minio, both built from source by `make tools`.
S3 ?= versitygw
export BERTH_S3 := $(S3)

.PHONY: help
help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the registry and the operator into target/debug
	@tests/tools/prepare build
	cargo build --workspace --bins --locked

.PHONY: demo
demo: ## Show the main job: push, see, protect, clean up. Leaves a registry running
	@tests/tools/prepare demo
	@examples/demo/up

.PHONY: demo-down
demo-down: ## Stop the registry that the demo left running, and delete its data
	@examples/demo/down

.PHONY: cluster
cluster: ## Start a Kubernetes control plane, and Berth beside it, to try things with kubectl
	@tests/tools/prepare test
	@examples/cluster/up

.PHONY: cluster-down
cluster-down: ## Stop all of that, and delete its data
	@examples/cluster/down

.PHONY: tools
tools: ## Install or build every tool that the tests need
	@tests/tools/prepare test

.PHONY: test
test: ## Check everything: format, lints, dependencies, tests. S3=minio for a second S3 server
	@tests/tools/prepare test
	@tests/tools/test

.PHONY: crds
crds: ## Write the generated definitions, examples and field reference anew
	cargo run --quiet --bin crdgen

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: lint
lint: ## Check format, lints and dependencies, without tests
	@tests/tools/prepare test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	"$$(tests/tools/where cargo-deny)" check bans licenses sources

# Apart from `make test`, because what it says changes with the advisory database, which it fetches.
.PHONY: advisories
advisories: ## Look for known vulnerabilities and yanked crates (needs the network)
	@tests/tools/prepare test
	"$$(tests/tools/where cargo-deny)" check advisories
