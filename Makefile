# Every target can be run by itself in a fresh clone. What is needed: Rust, Node 20.19 or newer, make.
.DEFAULT_GOAL := help
CARGO ?= cargo
NPM := npm --prefix web
BUILT := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/debug
.PHONY: help run build test check fix gen e2e bench chaos rolling faults needs clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build the web client and the server, and start it at http://localhost:8080
	@echo "Building the web client and the server; the first time takes some minutes."
	@$(CARGO) build --locked
	@echo "Starting Maju with a Postgres of its own; what it keeps is in data/. Ctrl-C stops it."
	@$(CARGO) run --locked --quiet -- serve

build: ## Build what is deployed: target/release/maju, one file with everything in it
	@echo "Building the web client and the server, optimised."
	@$(CARGO) build --locked --release
	@echo "Done: target/release/maju"

test: needs web/node_modules/.maju-lock ## Run all tests: Rust, web client, the API by its description, a real browser, two minutes of faults; print how much they reach
	@.ci/test

check: web/node_modules/.maju-lock ## Format, lints, types, and that generated files are in step
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	MAJU_SKIP_WEB=1 $(CARGO) clippy --locked --no-default-features -- -D warnings
	$(NPM) run --silent check
	@node .ci/gen.mjs --check

fix: web/node_modules/.maju-lock ## Put right what can be put right without thinking
	$(CARGO) fmt --all
	$(CARGO) clippy --locked --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all
	$(NPM) run --silent fix

gen: web/node_modules/.maju-lock ## Rewrite what is generated: .sqlx, the TypeScript of the wire
	@node .ci/gen.mjs
	MAJU_GEN=1 $(CARGO) test --locked --quiet in_step

e2e: needs web/node_modules/.maju-lock ## Run the browser's tests alone
	$(CARGO) build --locked
	MAJU_BIN="$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug/maju" $(NPM) run e2e

bench: build ## Measure the optimised build, with bare servers beside it in the same run
	@node .ci/bench.mjs
	$(CARGO) build --locked --release -p sim
	@node sim/bench.mjs

# Five sixths of the time Postgres stands aside and each node's way to it can be cut; then one of the nodes runs it.
chaos: needs ## An hour of faults on two nodes, and a checker; SHORT=1 ten minutes; SECONDS=60 SEED=7 choose another run
	$(CARGO) build --locked --workspace
	@all=$(or $(SECONDS),$(if $(SHORT),600,3600)); for run in "aside $$((all * 5 / 6))" "owned $$((all / 6))"; do \
		set -- $$run; \
		"$(BUILT)/chaos" --postgres $$1 --seconds $$2 $(if $(SEED),--seed $(SEED)) --bin "$(BUILT)/maju" || exit 1; \
	done

rolling: needs ## Forty restarts of two nodes behind a balancer, under load; CLIENTS=2000 ROUNDS=3 choose another run
	$(CARGO) build --locked --workspace
	@"$(BUILT)/chaos" rolling --rounds $(or $(ROUNDS),20) $(if $(CLIENTS),--clients $(CLIENTS)) $(if $(SEED),--seed $(SEED)) --bin "$(BUILT)/maju"

faults: ## Plant a mistake in the server, again and again, and see that a test catches each; ONLY=a,b chooses
	@.ci/faults.mjs

needs: ## Install what only tests need, where that is allowed
	@.ci/needs

clean: ## Delete everything built; what Maju keeps (data/) stays
	$(CARGO) clean
	rm -rf web/node_modules web/dist web/coverage

# The stamp is a copy of the lock it was installed from; the build of the server looks at it too.
web/node_modules/.maju-lock: web/package-lock.json
	@cmp -s $< $@ || (cd web && npm ci --ignore-scripts --no-audit --no-fund --include=dev --include=optional)
	@cp $< $@
