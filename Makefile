# The tools are pinned here and kept in .tools, one file a version.
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEPGUARD    := github.com/OpenPeeDeeP/depguard/v2/cmd/depguard@v2.3.0

TOOLS := .tools
tool   = $(TOOLS)/$(notdir $(firstword $(subst @, ,$(1))))-$(lastword $(subst @, ,$(1)))

PKG   ?= ./...
TORTURE ?= --for 5m
FUZZTIME ?= 20s
RUN     ?= ^TestF[0-9][0-9]

.DEFAULT_GOAL := help

.PHONY: help
help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z\/-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## compile everything, and the command into ./natsasync
	go build ./...
	go build -o natsasync ./cmd/natsasync

.PHONY: test
test: ## run all tests with the race detector; PKG=./task/ for one package
	go test -race -shuffle=on -timeout 20m $(PKG)

.PHONY: examples
examples: ## run the examples that are a module of their own
	cd examples && go vet ./... && go test -timeout 5m ./...

.PHONY: node
node: ## install what the client in another language needs, for the tests; needs npm
	npm ci --no-audit --no-fund --prefix integration/trust/node

.PHONY: soak
soak: ## try every fault many times more, half an hour; RUN=TestF02 for one row of the matrix
	NATSASYNC_SOAK=1 go test -race -count=1 -v -timeout 90m -run '$(RUN)' ./integration/...

.PHONY: fuzz
fuzz: ## fuzz every decoder; FUZZTIME=10m for longer than 20 s each
	@for f in $$(grep -ho '^func Fuzz[A-Za-z]*' task/*_test.go | cut -c6-); do \
		go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) ./task || exit 1; done

.PHONY: bench
bench: ## measure against a raw NATS client, side by side; BENCH=--quick for a glance
	go run ./bench $(BENCH)

.PHONY: bench/parts
bench/parts: ## run the benchmarks of single functions; PKG=./task/ for one package
	go test -run '^$$' -bench . -benchmem -timeout 30m $(PKG)

.PHONY: torture
torture: ## try to break the guarantees with processes; TORTURE="--for 45s --seed 7" for less
	go run ./cmd/natsasync torture $(TORTURE)

.PHONY: torture/planted
torture/planted: ## see whether the torture finds bugs that are planted for it
	go test -tags planted -count=1 -run Planted -timeout 10m ./cmd/natsasync

.PHONY: demo
demo: ## run the demonstration: a server, a worker and some jobs in one process
	go run ./cmd/natsasync demo

.PHONY: fmt
fmt: $(call tool,$(GOFUMPT)) ## format all Go files
	$(call tool,$(GOFUMPT)) -l -w .

.PHONY: lint
lint: lint/vet lint/format lint/static lint/imports ## run all linters

.PHONY: lint/vet
lint/vet: ## go vet
	go vet ./...

.PHONY: lint/format
lint/format: $(call tool,$(GOFUMPT)) ## files that gofumpt would change
	@files="$$($(call tool,$(GOFUMPT)) -l .)"; \
	if [ -n "$$files" ]; then echo "not formatted (run make fmt):"; echo "$$files"; exit 1; fi

.PHONY: lint/static
lint/static: $(call tool,$(STATICCHECK)) ## staticcheck
	$(call tool,$(STATICCHECK)) ./...

.PHONY: lint/imports
lint/imports: $(call tool,$(DEPGUARD)) ## the rules of .depguard.yaml
	$(call tool,$(DEPGUARD)) ./...

define install
$(call tool,$(1)):
	@mkdir -p $(TOOLS)/new
	GOBIN="$(CURDIR)/$(TOOLS)/new" go install $(1)
	@mv $(TOOLS)/new/$(notdir $(firstword $(subst @, ,$(1)))) $$@
	@rmdir $(TOOLS)/new 2>/dev/null || true
endef
$(foreach t,$(GOFUMPT) $(STATICCHECK) $(DEPGUARD),$(eval $(call install,$(t))))

.PHONY: clean
clean: ## remove what was built, and the tools
	rm -rf $(TOOLS) natsasync
