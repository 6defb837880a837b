# The two commands a newcomer needs are `make demo` and `make test`. Both do all
# their own set-up and leave no process behind.
SHELL := /bin/bash
GO ?= go
# Packages whose tests start the local stack; all others are unit tests.
STACK_TESTS := ./test/e2e/...
BENCH ?= all

.DEFAULT_GOAL := help
.PHONY: help demo test unit e2e bench generate vet lint build xpkg up down status

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

demo: ## A region survives a surge, on the local stack (about 3 minutes warm)
	@$(GO) run ./cluster/local demo

test: unit e2e ## Pass all tests: unit, simulator and end-to-end

unit: binaries ## Unit tests and the simulator's own tests
	$(GO) test -timeout 20m $$($(GO) list ./... | grep -v /test/e2e)
	$(GO) test -C cluster/xpkg ./...

e2e: binaries ## End-to-end tests on one shared local stack
	$(GO) test -timeout 60m -v $(STACK_TESTS)

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

vet: ## go vet
	$(GO) vet ./...
	$(GO) vet -C cluster/xpkg ./...

lint: ## gofmt and staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "not gofmt-ed"; exit 1; }
	$(GO) build -C hack/lint -o $(CURDIR)/_output/bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	_output/bin/staticcheck ./...
	cd cluster/xpkg && $(CURDIR)/_output/bin/staticcheck ./...
