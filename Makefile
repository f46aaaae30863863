# What each command does: make help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# A clone that belongs to another user has no history that go may read.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

GO       ?= go
ADDR     ?= 127.0.0.1:8080
DB       ?= gapless.db
RETAIN   ?= 0
FUZZTIME ?= 30s
SOAK     ?= ./...
SOAKTIME ?= 60s
BENCH    ?= .
RUNS     ?= 1
TESTFLAGS ?=
LINT     := $(CURDIR)/bin/golangci-lint

# Every module of the repository but tools/, which only builds the linter.
MODULES := $(shell find . \( -name node_modules -o -name .cache -o -name .git -o -path ./tools \) -prune -o -name go.mod -exec dirname {} \; | sort)
each = for m in $(MODULES); do echo "== $$m: $(1)"; (cd "$$m" && $(1)); done

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## start the quickstart (ADDR, DB, RETAIN); needs nothing but Go
	$(GO) run ./examples/quickstart -addr $(ADDR) -db $(DB) -retain $(RETAIN)

.PHONY: test
test: install ## vet and test every module with the race detector; a server that cannot be started is a failure
	@$(call each,$(GO) vet ./...)
	@export GAPLESS_REQUIRE=all; $(call each,$(GO) test -race -timeout 30m $(TESTFLAGS) ./...)

.PHONY: install
install: ## install what the tests need and is missing (Debian packages, and npm packages below e2e)
	@scripts/install
	@scripts/npm-packages e2e

.PHONY: lint
lint: $(LINT) ## golangci-lint, gofumpt, goimports, go fix and tidy modules, changing nothing
	@$(call each,$(LINT) run --allow-parallel-runners --config $(CURDIR)/.golangci.yml ./...)
	@$(call each,$(CURDIR)/scripts/unfixed)
	@$(call each,$(GO) mod tidy -diff)

# Built once: it is large. The build cache keeps its parts when the version changes.
$(LINT): tools/go.mod tools/go.sum
	$(GO) build -C tools -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: format
format: $(LINT) ## apply gofumpt, goimports and go fix
	@$(call each,$(GO) fix ./... && $(LINT) fmt --config $(CURDIR)/.golangci.yml ./...)

.PHONY: e2e
e2e: install ## follow with Chromium, clients for Node.js and for Go (GAPLESS_SOAK=1 for 10,000 events, GAPLESS_REWRITE=1 to write the tables)
	@cd e2e && GAPLESS_REQUIRE=all $(GO) test -race -count=1 -timeout 30m -v ./...

.PHONY: soak
soak: install ## every test with its campaigns at full size (SOAK=packages, SOAKTIME=60s for those that go by time)
	@export GAPLESS_REQUIRE=all GAPLESS_SOAK=$(SOAKTIME); $(call each,$(GO) test -race -count=1 -timeout 6h -v $(SOAK))

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30s)
	@$(call each,$(CURDIR)/scripts/fuzz $(FUZZTIME))

.PHONY: mutants
mutants: ## every case of the conformance suite over every mutant; writes docs/mutants.md
	GAPLESS_MUTANTS=write $(GO) test -count=1 -timeout 1h -v -run TestKillMatrix ./conformance

.PHONY: alarms
alarms: ## the suite over what is correct, RUNS times (1) with -race and -cpu 1,2,4: nothing may fail
	$(GO) test -race -cpu 1,2,4 -count=$(RUNS) -timeout 12h -run '^(TestReferencePasses|TestReferenceInAFilePasses|TestReferenceUnderTheLibrary|TestNastyLogsPass)$$' ./conformance

.PHONY: bench
bench: ## every benchmark (BENCH=regexp)
	@$(call each,$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...)

.PHONY: clean
clean: ## remove what was built
	rm -rf bin .cache
