# Everything works from nothing: each target makes .venv first if it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := .peers
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
JOBS ?= 2
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint format bench peers exactness memory faults tracking docs tables gpu benchmark clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Create .venv and install pedseg with everything it needs

# torch goes first and alone: a machine that has a CPU wheel at hand then takes it, and nothing else pulls another build
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv "$(VENV)"
	"$(BIN)/python" -m pip install --quiet --constraint constraints.txt "$(TORCH)"
	"$(BIN)/python" -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch "$@"

demo: $(STAMP)  ## Synthetic cohorts, three models, the table and pictures (under 10 minutes on 2 cores)
	"$(BIN)/pedseg" phantom --output demo/data --adults 40 --children 30 --spacing 4 --seed 0
	"$(BIN)/pedseg" prepare scale=demo
	"$(BIN)/pedseg" train -m scale=demo cluster=local cluster.parallel=$(JOBS) \
		experiment=m1_adult_nods,uda,m3_mixed_nods
	"$(BIN)/pedseg" report demo/runs --output demo/report

test: $(STAMP)  ## Run the tests (parallel; long ones left out)
	"$(BIN)/python" -m pytest -n $(JOBS) -m "not slow and not gpu"

test-all: $(STAMP)  ## Run every test, long ones too
	"$(BIN)/python" -m pytest -n $(JOBS)

lint: $(STAMP)  ## Style, types and layers
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"
	"$(BIN)/lint-imports"

format: $(STAMP)  ## Rewrite the sources in the project's style
	"$(BIN)/ruff" check --fix .
	"$(BIN)/ruff" format .

# The slow kind of CPU is forced: convolutions and PyTorch's own kernels are held to AVX2. Cohorts of up to 2,000 cases
# take long and are left out: python -m tests.benchmarks.bench_scale
AVX2 := ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
bench: $(STAMP)  ## Measure against peers, on this CPU and held to AVX2; each line prints a ratio
	@for f in $(filter-out %/bench_scale.py,$(wildcard tests/benchmarks/bench_*.py)); do m=tests.benchmarks.$$(basename $$f .py); \
		echo "== $$m"; "$(BIN)/python" -m $$m || exit 1; \
		echo "== $$m, AVX2"; env $(AVX2) "$(BIN)/python" -m $$m || exit 1; done

peers: $(PEERS)/.installed  ## The programs that tests compare with, in an environment of their own (1.5 GB)

# nnU-Net pulls a torchvision that does not match a CPU torch; nothing here needs it
$(PEERS)/.installed: constraints.txt
	$(PYTHON) -m venv "$(PEERS)"
	"$(PEERS)/bin/python" -m pip install --quiet "$(TORCH)"
	"$(PEERS)/bin/python" -m pip install --quiet "$(TORCH)" nnunetv2==2.8.1 brats-evaluation==0.0.10
	"$(PEERS)/bin/python" -m pip uninstall --quiet --yes torchvision
	@touch "$@"

exactness: $(STAMP)  ## Compare with every peer and write docs/exactness.md (make peers first)
	"$(BIN)/python" -m tests.exactness_page --jobs $(JOBS)

docs: $(STAMP)  ## Build the site into site/, with every link checked
	"$(BIN)/mkdocs" build --strict --quiet

faults: $(STAMP)  ## Try 1,500 damaged, hostile and unlucky inputs on the commands, and write docs/faults.md
	"$(BIN)/python" -m tests.faults --trials 1500 --seed 0 --output docs/faults.md

tracking: $(STAMP)  ## Write the table of docs/tracking.md from the offline records of a toy run
	"$(BIN)/python" -m tests.tracking_page

memory: $(STAMP)  ## Write docs/memory.md: memory of a step and a prediction, computed and measured
	"$(BIN)/python" -m tests.memory_page

tables: $(STAMP)  ## Write the tables of pages, docs/configuration.md and docs/errors.md, from conf/ and the source
	"$(BIN)/python" -m tests.config_tables
	"$(BIN)/python" -m pedseg.settings > docs/configuration.md
	"$(BIN)/python" -m tests.errors_page

gpu: $(STAMP)  ## Measure on a GPU against nnU-Net (make peers first), and run the tests that need one
	@"$(BIN)/python" -m tests.benchmarks.gpu --output gpu.md; measured=$$?; [ $$measured -ne 2 ] || exit 2; \
		"$(BIN)/python" -m pytest -m gpu tests && exit $$measured

SEEDS ?= 0
# Shift A is what methods are developed on; on B to E nothing is chosen, and only what is put forward is compared
SHIFT ?= a
SCALE ?= benchmark$(if $(filter-out a,$(SHIFT)),_$(SHIFT))
FINE := $(filter benchmark_fine,$(SCALE))
AT := benchmark$(if $(FINE),/fine,$(if $(filter-out a,$(SHIFT)),/shift_$(SHIFT)))
SPACING := $(if $(FINE),2,4)
SWEEPS ?= $(if $(FINE)$(filter-out a,$(SHIFT)),confirmation confirmation_variants,benchmark benchmark_variants benchmark_calibrated)
LABELS ?= few_thresholds few_labels
RUNS ?= $(AT)/runs
CONF ?=
OWN = $(if $(CONF),--config-dir "$(CONF)") scale=$(SCALE)
benchmark: $(STAMP)  ## Bounds, controls and methods on synthetic cohorts; SEEDS=0,1,2; SHIFT=b to e; SCALE= for others
ifneq ($(filter benchmark benchmark_%,$(SCALE)),)
	"$(BIN)/pedseg" phantom --output $(AT)/data --adults 75 --children 50 --spacing $(SPACING) --shift $(SHIFT)
	"$(BIN)/pedseg" phantom --output $(AT)/test --adults 0 --children 40 --first 50 --spacing $(SPACING) --shift $(SHIFT)
endif
	"$(BIN)/pedseg" prepare $(OWN)
	@for sweep in $(SWEEPS); do \
		"$(BIN)/pedseg" train $(OWN) -m sweep=$$sweep seed=$(SEEDS) cluster=local cluster.parallel=$(JOBS) || exit; done
	"$(BIN)/pedseg" validate "$(RUNS)" --cases 40
	@for sweep in $(LABELS); do \
		"$(BIN)/pedseg" train $(OWN) -m sweep=$$sweep seed=$(SEEDS) cluster=local cluster.parallel=$(JOBS) || exit; done
	"$(BIN)/pedseg" benchmark "$(RUNS)" --output "$(RUNS)/../report" --overwrite

clean:  ## Remove the environment, caches and the demo
	rm -rf "$(VENV)" "$(PEERS)" .mypy_cache .ruff_cache .pytest_cache .import_linter_cache demo benchmark
