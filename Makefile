# Every target runs by itself in a fresh clone. It needs Rust, Node 20.19 or newer, and make.
.DEFAULT_GOAL := help
CARGO ?= cargo
NPM := npm --prefix web
BUILT := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/debug
.PHONY: help run build test check fix gen e2e bench chaos rolling faults drills needs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build the client and the server, and serve http://localhost:8080
	@echo "Building the client and the server. The first time takes some minutes."
	@$(CARGO) build --locked
	@echo "Starting Maju with its own Postgres. Its data is in data/. Ctrl-C stops it."
	@$(CARGO) run --locked --quiet -- serve

build: ## Build the release: target/release/maju, one file with everything inside
	@echo "Building the optimised client and server."
	@$(CARGO) build --locked --release
	@echo "Done: target/release/maju"

test: needs web/node_modules/.maju-lock ## Run all tests: Rust, client, API description, browser, two minutes of faults; print the coverage
	@.ci/test

check: web/node_modules/.maju-lock ## Check format, lints, types, and that generated files are up to date
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	MAJU_SKIP_WEB=1 $(CARGO) clippy --locked --no-default-features -- -D warnings
	$(NPM) run --silent check
	@$(CARGO) xtask gen --check

fix: web/node_modules/.maju-lock ## Repair formatting and simple lints
	$(CARGO) fmt --all
	$(CARGO) clippy --locked --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all
	$(NPM) run --silent fix

gen: web/node_modules/.maju-lock ## Rewrite generated files: .sqlx, the types of the client
	@$(CARGO) xtask gen

e2e: needs web/node_modules/.maju-lock ## Run the browser tests alone
	$(CARGO) build --locked
	MAJU_BIN="$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug/maju" $(NPM) run e2e

bench: ## Measure the optimised build, with bare servers in the same run; ONLY="pairs idle" selects some
	@$(CARGO) xtask bench $(ONLY)

# For five sixths of the time Postgres runs separately, and each node can be cut off from it. Then one
# of the nodes runs Postgres.
chaos: needs ## Run an hour of faults on two nodes, with a checker; SHORT=1 is ten minutes; SECONDS=60 SEED=7
	$(CARGO) build --locked --workspace
	@all=$(or $(SECONDS),$(if $(SHORT),600,3600)); for run in "aside $$((all * 5 / 6))" "owned $$((all / 6))"; do \
		set -- $$run; \
		"$(BUILT)/chaos" --postgres $$1 --seconds $$2 $(if $(SEED),--seed $(SEED)) --bin "$(BUILT)/maju" || exit 1; \
	done

rolling: needs ## Restart two nodes behind a balancer 40 times under load; CLIENTS=2000 ROUNDS=3 SEED=7
	$(CARGO) build --locked --workspace
	@"$(BUILT)/chaos" rolling --rounds $(or $(ROUNDS),20) $(if $(CLIENTS),--clients $(CLIENTS)) $(if $(SEED),--seed $(SEED)) --bin "$(BUILT)/maju"

faults: ## Plant mistakes in the server, and check that a test catches each; ONLY=a,b selects some
	@$(CARGO) xtask faults $(if $(ONLY),--only $(ONLY))

# What takes too long for each change: every page in every state, language, theme and width; ten
# minutes of faults; restarts; planted faults. Each runs, whatever the others found.
drills: needs web/node_modules/.maju-lock ## Run what is too long for `make test`: all pages in all states, ten minutes of faults, planted faults
	$(CARGO) build --locked --workspace
	@failed=; \
	MAJU_LONG_TESTS=1 $(CARGO) test --locked --lib accounts::live_sessions || failed="$$failed sessions"; \
	E2E_GRID=full MAJU_BIN="$(BUILT)/maju" $(NPM) run e2e || failed="$$failed e2e"; \
	$(MAKE) --no-print-directory chaos SHORT=1 || failed="$$failed chaos"; \
	$(MAKE) --no-print-directory rolling || failed="$$failed rolling"; \
	$(MAKE) --no-print-directory faults || failed="$$failed faults"; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi

needs: ## Install what only the tests need, or print the command
	@.ci/needs

clean: ## Delete everything that was built; data/ stays
	$(CARGO) clean
	rm -rf web/node_modules web/dist web/coverage

# The stamp is a copy of the lock file that was installed. The build of the server reads it too.
web/node_modules/.maju-lock: web/package-lock.json
	@cmp -s $< $@ || (cd web && npm ci --ignore-scripts --no-audit --no-fund --include=dev --include=optional)
	@cp $< $@
