# SPDX-License-Identifier: Apache-2.0
#
#   make run     build the Collector and watch this host
#   make test    install what the tests need and run all of them
#
# The other targets are described in CONTRIBUTING.md.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build

GO ?= go
# Tools have a go.mod of their own, so that who imports the receiver does not
# get their requirements.
TOOL := $(GO) tool -modfile=$(CURDIR)/distribution/tools.mod
# Loading BPF needs root. What is compiled is compiled as the user.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env)
EXEC := $(if $(SUDO),-exec '$(SUDO)')

BIN := bin/otelcol-ebpf
# Of the Collector; tools are built for this machine.
TARGETARCH ?= $(shell $(GO) env GOARCH)
BUILD := distribution/_build
CONFIG ?= examples/local.yaml
# How long make fuzz runs each fuzz target.
FUZZTIME ?= 30s

RECEIVER := $(shell find receiver -name '*.go' -not -name '*_test.go' -o -name '*.o')

.PHONY: build
build: $(BIN)

# ocb writes the Collector's main package, anew when its manifest or our
# requirements change; go does the rest. tidy, because a new import in the
# receiver may need a checksum in the go.sum there.
$(BUILD)/go.sum: builder-config.yaml go.mod go.sum distribution/tools.mod
	mkdir -p distribution
	rm -rf $(BUILD)
	$(TOOL) builder --config=builder-config.yaml --skip-compilation
	touch $@

$(BIN): $(BUILD)/go.sum $(RECEIVER)
	cd $(BUILD) && $(GO) mod tidy
	cd $(BUILD) && CGO_ENABLED=0 GOARCH=$(TARGETARCH) $(GO) build -trimpath -tags=grpcnotrace -ldflags='-s -w' -o $(abspath $(BIN)) .

.PHONY: run
run: build
	$(SUDO) env OTELCOL_EBPF_OUTPUT=$(CURDIR)/bin $(BIN) --config=$(CONFIG)

.PHONY: test
test: install build lint test-unit test-e2e

# Servers, languages and compilers the tests use, from their own registries.
.PHONY: install
install:
	$(SUDO) testbed/install.sh

# Packages whose tests load probes, which see each other's processes, or run servers.
LIVE := ./receiver/internal/capture ./receiver/internal/engine ./receiver/internal/cluster/kube

.PHONY: test-unit
test-unit: kubernetes
	$(GO) test -race -timeout=15m $$($(GO) list ./receiver/... | grep -vxF "$$($(GO) list $(LIVE))")
	testbed/run.sh "$(LIVE)" $(GO) test $(EXEC) -race -p=1 -timeout=15m

# One package at a time: they measure, and they look at the same kernel. Most compare
# every span of thousands with what happened, on a machine that may hold its breath; so
# a package that fails is tried once more, and both outcomes are shown.
.PHONY: test-e2e
test-e2e: build kubernetes
	testbed/run.sh ./testbed/... $(GO) test $(EXEC) -count=1 -p=1 -timeout=20m
	$(MAKE) test-deployment

# What Kubernetes, systemd and container runtimes are given. A module of its own.
.PHONY: test-deployment
test-deployment: build
	cd testbed/deployment && $(GO) test $(EXEC) -count=1 -timeout=15m ./...

# The Kubernetes API server tests use: three minutes the first time.
.PHONY: kubernetes
kubernetes:
	$(GO) run ./testbed/kubernetes/prepare

.PHONY: lint
lint:
	@unformatted=$$(gofmt -l receiver testbed); \
	if [[ -n $$unformatted ]]; then echo "gofmt these:" $$unformatted; exit 1; fi
	$(GO) vet ./...
	cd testbed/deployment && $(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./receiver/...
	GOOS=darwin $(GO) vet ./receiver
	$(TOOL) staticcheck ./...
	cd testbed/deployment && $(TOOL) staticcheck ./...
	clang-format-16 --dry-run --Werror --style=file --fallback-style=none bpf/*.c bpf/*.h

# What is generated is committed. clang-16, llvm-16 and libbpf-dev of Debian 12
# make the same BPF objects, bit for bit.
.PHONY: generate
generate:
	$(GO) generate ./receiver/...
	$(GO) test ./receiver/internal/config -run='^TestReference$$' -update
	$(GO) test ./receiver/internal/engine -run='^TestProtocolsTable$$' -update

checksums = find README.md receiver/documentation.md receiver/generated_* receiver/internal/metadata* \
	receiver/internal/capture/*_bpfel.* -type f -print0 | sort -z | xargs -0 sha256sum

.PHONY: check-generated
check-generated:
	@before=$$(mktemp) && trap 'rm -f "$$before"' EXIT && $(checksums) >"$$before" && \
	$(MAKE) generate && \
	if ! $(checksums) | diff "$$before" -; then \
	  echo "generated files were out of date: commit what make generate has changed"; exit 1; \
	fi

# What observing costs: ratios of runs side by side, some two minutes on a quiet
# machine. BENCH are options of testbed/bench.
.PHONY: bench
bench: build
	$(GO) build -o bin/bench ./testbed/bench
	$(SUDO) bin/bench $(BENCH)

# The capture tests on other kernels, under QEMU.
.PHONY: kernels
kernels:
	$(SUDO) testbed/kernels/run.sh

# What real clients and servers say to each other, for tests of the parsers.
.PHONY: corpus
corpus:
	$(SUDO) testbed/protocols/corpus/record.sh $(PROTOCOLS)

.PHONY: fuzz
fuzz:
	@grep -rl --include='*_test.go' '^func Fuzz' receiver | while read -r file; do \
	  sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file" | while read -r target; do \
	    echo "$$(dirname "$$file") $$target"; \
	    $(GO) test "./$$(dirname "$$file")" -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) </dev/null; \
	  done; \
	done

.PHONY: clean
clean:
	rm -rf bin $(BUILD)
