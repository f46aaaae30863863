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
SOAK     ?=
SOAKTIME ?= 60s
BENCH    ?= .
RUNS     ?= 1
BEFORE   ?= 3cf6843
VERSION  ?=
TESTFLAGS ?=
# SQLite in Go is several times slower under the race detector, which would watch
# the memory of C code that was translated. Only that package is left out: one that
# uses sync.Map has generic code of package sync, which the linker may take for all.
RACE     := -race -gcflags=modernc.org/sqlite/lib=-race=false
LINT     := $(CURDIR)/bin/golangci-lint

# Every module of the repository but tools/, which only builds the linter, and
# all their packages.
MODULES = $(shell find . \( -name node_modules -o -name .cache -o -name .git -o -path ./tools \) -prune -o -name go.mod -exec dirname {} \; | sort)
ALL     = $(MODULES:%=%/...)
each = for m in $(MODULES); do echo "== $$m: $(1)"; (cd "$$m" && $(1)); done

# Packages whose tests give real servers and clients a deadline, and wait for them:
# two of them run at once. Those that measure time or memory run one after the
# other, with more tests at once than there are processors, since most wait for a
# server; all others beside each other, those that wait for long first.
PAIRED := ./test/e2e ./transport/sse ./test/jetstream ./test/bank ./test/capture ./source/redis ./cmd/gapless ./examples/quickstart ./source/bolt ./integrations/pgx \
	./transport/sse/remote ./test/orm ./test/faults ./examples/cluster ./examples/natscluster ./test/watermill
LONG := ./test/drivers ./examples/pebblesource ./transport/sse/statuspage
TIMED := ./source/sql ./test/soak ./benchmarks/...

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## start the quickstart (ADDR, DB, RETAIN); needs nothing but Go
# Without the workspace nothing is fetched that other modules need.
# The buttons that cut and kill are for a loopback address only.
	GOWORK=off $(GO) run ./examples/quickstart -addr $(ADDR) -db $(DB) -retain $(RETAIN) $(if $(filter 127.% localhost:% [::1]:%,$(ADDR)),-demo)

.PHONY: test
test: install ## test every module with the race detector; a server that cannot be started is a failure
	@export GAPLESS_REQUIRE=all status=0; paired=$$($(GO) list $(PAIRED)); timed=$$($(GO) list $(TIMED)); \
	$(GO) test $(RACE) -timeout 30m $(TESTFLAGS) $(LONG) $$($(GO) list $(ALL) | grep -vxF "$$paired"$$'\n'"$$timed") || status=1; \
	$(GO) test $(RACE) -timeout 30m -p 2 $(TESTFLAGS) $$paired || status=1; \
	$(GO) test $(RACE) -timeout 60m -p 1 -parallel 4 $(TESTFLAGS) $$timed || status=1; \
	exit $$status

.PHONY: quick
quick: ## test the root module with what is installed, and list what was left out
	@GOWORK=off $(GO) test -v ./... | awk '/cannot be started: |: runs with GAPLESS_/ { sub(/^.*\.go:[0-9]+: /, ""); left[$$0]++ } /^ok|^FAIL|^panic|--- FAIL/ \
		END { for (why in left) print "left out: " left[why] " × " why }'

.PHONY: install
install: ## install what the tests need and is missing (Debian packages, and npm packages)
	@scripts/install
	@scripts/npm-packages test/e2e
	@scripts/npm-packages clients/typescript

.PHONY: lint
lint: $(LINT) ## golangci-lint, gofumpt, goimports, go fix and tidy modules, changing nothing
	@$(call each,$(LINT) run --allow-parallel-runners --config $(CURDIR)/.golangci.yml ./...)
	@$(call each,$(CURDIR)/scripts/unfixed)
	@$(call each,$(CURDIR)/scripts/tidy -diff)

# Built once: it is large. The build cache keeps its parts when the version changes.
$(LINT): tools/go.mod tools/go.sum
	GOWORK=off $(GO) build -C tools -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: format
format: $(LINT) ## apply gofumpt, goimports and go fix
	@$(call each,$(GO) fix ./... && $(LINT) fmt --config $(CURDIR)/.golangci.yml ./...)

.PHONY: tidy
tidy: ## tidy every go.mod and go.sum
	@$(call each,$(CURDIR)/scripts/tidy)

.PHONY: e2e
e2e: install ## follow with Chromium, clients for Node.js and for Go (GAPLESS_SOAK=1 for 10,000 events, GAPLESS_REWRITE=1 to write the tables)
	@cd test/e2e && GAPLESS_REQUIRE=all $(GO) test $(RACE) -count=1 -timeout 30m -v ./...

.PHONY: soak
soak: install ## every test with its campaigns at full size (SOAK=packages, SOAKTIME=60s for those that go by time)
	GAPLESS_REQUIRE=all GAPLESS_SOAK=$(SOAKTIME) $(GO) test $(RACE) -p 1 -count=1 -timeout 6h -v $(or $(SOAK),$(ALL))

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30s)
	@$(call each,$(CURDIR)/scripts/fuzz $(FUZZTIME))

.PHONY: mutants
mutants: ## every case of the conformance suite over every mutant; writes docs/mutants.md
	GAPLESS_MUTANTS=write $(GO) test -count=1 -timeout 1h -v -run TestKillMatrix ./conformance

.PHONY: api
api: ## record what the public packages export in docs/api
	GAPLESS_API=write $(GO) test -count=1 -run TestPublicSurfaceIsRecorded ./internal/rules

.PHONY: sizes
sizes: ## compare the sizes of all packages with those of commit BEFORE; writes docs/results/house.md
	@mkdir -p bin
	$(GO) run ./internal/rules/sizes $(BEFORE) > bin/house.md
	@mv bin/house.md docs/results/house.md

.PHONY: alarms
alarms: ## the suite over what is correct, RUNS times (1) with -race and -cpu 1,2,4: nothing may fail
	$(GO) test $(RACE) -cpu 1,2,4 -count=$(RUNS) -timeout 12h -run '^(TestReferencePasses|TestReferenceInAFilePasses|TestReferenceUnderTheLibrary|TestNastyLogsPass)$$' ./conformance

.PHONY: bench
bench: ## a frame and a stream beside other libraries, in processes of their own, in half an hour; writes docs/results/everyday.md and its chart
	cd benchmarks && $(GO) run ./beside -write ../docs/results/everyday.md

.PHONY: bench-quick
bench-quick: ## the same in a few minutes, to look at
	@cd benchmarks && $(GO) run ./beside -quick

.PHONY: microbench
microbench: ## every benchmark of the packages (BENCH=regexp)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(ALL)

.PHONY: price
price: install ## what Capture costs a statement on each database; writes docs/results/capture-price.md
	GAPLESS_REQUIRE=all GAPLESS_REWRITE=1 $(GO) test -count=1 -timeout 1h -v -run TestPriceOfCapture ./test/capture

.PHONY: release
release: ## tag every module with VERSION in this clone (pushing the tags publishes them)
	@scripts/release $(VERSION)

.PHONY: clean
clean: ## remove what was built
	rm -rf bin .cache
