# The two commands a newcomer needs are `make demo` and `make test`. Both do all
# their own set-up and leave no process behind.
SHELL := /bin/bash
GO ?= go
# Packages with tests that start parts of the local stack, which the unit tests
# leave out. They run one after the other.
STACK_TESTS := ./cluster/local/stack ./test/cloudsim/backend/local ./test/render ./test/exact ./test/estimator ./test/xpkg
BENCH ?= all

.DEFAULT_GOAL := help
.PHONY: help demo test unit stack-test e2e bench xpkg generate vet lint build xpkg up down status

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

demo: ## A region survives two surges, on the local stack (about 3 minutes warm)
	@$(GO) run ./cluster/local demo

test: unit stack-test e2e ## Pass all tests: unit, simulator and end-to-end

unit: ## Unit tests and the simulator's own tests
	$(GO) test -short -timeout 20m ./...
	$(GO) test -C cluster/xpkg ./...

stack-test: binaries ## Tests of single parts against real components
	$(GO) test -p 1 -timeout 20m $(STACK_TESTS)

e2e: binaries ## End-to-end tests on one shared local stack
	$(GO) test -timeout 60m -v ./test/e2e

bench: binaries ## Benchmarks (one of them: make bench BENCH=name)
	$(GO) run ./test/bench $(BENCH)

.PHONY: binaries
binaries: ## Build the pinned binaries of the stack into the user's cache
	@$(GO) run ./cluster/local binaries

build: ## Build our own programs into _output/bin
	$(GO) build -o _output/bin/ ./cmd/... ./test/cloudsim

xpkg: ## Build the Crossplane packages (and push: make xpkg PUSH=registry/path)
	$(GO) run -C cluster/xpkg . $(if $(PUSH),--push $(PUSH))

up: ## Start the local stack and print its kubeconfigs
	@$(GO) run ./cluster/local up

down: ## Stop the local stack
	@$(GO) run ./cluster/local down

status: ## Show the processes of the local stack
	@$(GO) run ./cluster/local status

generate: ## Regenerate deep copies, method sets, CRDs and XRDs
	cd apis && $(GO) generate .

# test/bench/schedulerperf is left out here and below: it has much of Kubernetes in
# it, and takes ten minutes on a new machine.
vet: ## go vet
	$(GO) vet ./...
	$(GO) vet -C cluster/xpkg ./...
	$(GO) vet -C test/bench/karpenter ./...

lint: ## gofmt and staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "not gofmt-ed"; exit 1; }
	$(GO) build -C hack/lint -o $(CURDIR)/_output/bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	_output/bin/staticcheck ./...
	cd cluster/xpkg && $(CURDIR)/_output/bin/staticcheck ./...
	cd test/bench/karpenter && $(CURDIR)/_output/bin/staticcheck ./...
