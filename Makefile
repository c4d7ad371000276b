# The menu of the project; the graph of work is in the fingerprints, so repeating a command is cheap.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
export INSTALLER ?=
BIN := $(VENV)/bin
DOMAIN ?= metaworld
TASKS ?= assembly,soccer
FORCE ?=
ROOT ?=
RUN ?= 1
JOBS ?= 1
CLUSTER ?=
ON ?=

SOURCE ?= jat
FOLDER ?=
EMBEDDING ?=
WEIGHTS ?=

# Where the jobs of a sweep run: CLUSTER=slurm ON="cluster.partition=gpu cluster.memory=32", or JOBS=2 here, or one after the other.
AT_ONCE = $(if $(CLUSTER),+cluster=$(CLUSTER) $(ON),$(if $(filter-out 1,$(JOBS)),hydra/launcher=joblib hydra.launcher.n_jobs=$(JOBS)))

.DEFAULT_GOAL := help
.PHONY: help system setup setup-envlogger demo examples test check test-slow test-interop test-slurm test-ray bench bench-gpu rebuild regent regent-all rebuild-all dqn-replay atari-1m atari-1m-formats image-text blender report catalog status verify clean

help: ## Show this menu
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

SYSTEM := g++ libosmesa6 libegl1 chromium fonts-dejavu-core libgmpxx4ldbl
system: ## Print (as root: run) the one line of useful system packages; all optional
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then set -x; apt-get update -qq && apt-get install -y --no-install-recommends $(SYSTEM); \
	else echo "sudo apt-get install --no-install-recommends $(SYSTEM)"; fi

setup: $(VENV)/ready ## Make .venv with everything that is needed (by uv where it can be had; INSTALLER=pip: by pip)

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) tools/install.py $(VENV) all,test
	touch $(VENV)/demo $@

$(VENV)/demo: pyproject.toml constraints.txt
	$(PYTHON) tools/install.py $(VENV) metaworld,report,video
	touch $@

setup-envlogger: setup ## Make .envlogger, the environment in which source=envlogger reads EnvLogger's Riegeli logs
	$(BIN)/python tools/envlogger.py

demo: $(VENV)/demo ## The main job on real input: three Meta-World tasks, collected, retrieved, measured, laid out, shown
	$(BIN)/python examples/demo.py

examples: setup ## Data of two robot tasks and of CartPole, made here, and the four examples that train on them and play
	$(BIN)/python run.py stage=all domain=metaworld 'task=[pick-place,push]'
	$(BIN)/python examples/log_training.py
	for each in behaviour_cloning retrieve_and_play context_policy decision_transformer; do $(BIN)/python examples/$$each.py || exit 1; done

test: check ## Everything that checks the project
	$(BIN)/python -m pytest -n auto --maxprocesses 4

check: setup ## Lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test-slow: setup ## Whole commands that are pasted one after the other: what errors suggest, agents, sources
	$(BIN)/python -m pytest -n auto --maxprocesses 4 -m slow

test-interop: setup ## Heavy readers of other projects (each in an environment of its own), and random damage to foreign files
	$(BIN)/python tools/interop.py
	$(BIN)/python tools/slurm.py --install || true
	$(BIN)/python -m pytest -m interop

test-slurm: setup ## Sweeps over a Slurm of one node, from Debian's packages, which root installs (python tools/slurm.py COMMAND: any command beside one)
	$(BIN)/python tools/slurm.py --install
	$(BIN)/python -m pytest -m interop tests/interop/test_slurm.py

test-ray: setup ## Sweeps over a Ray cluster of two nodes on this machine, in an environment of its own
	$(BIN)/python tools/interop.py ray
	$(BIN)/python -m pytest -m interop tests/interop/test_ray.py

QUICK ?=
ONLY ?=
bench: setup ## Every benchmark, or ONLY="retrieval live"; QUICK=1: small versions, about 4 minutes; what lost 15 % is marked
	$(BIN)/python -m benchmarks.all $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

# No setup here: it would fetch, and the machine with the GPU may have a torch of its own.
GPU_PYTHON = $(if $(filter file,$(origin PYTHON)),$(firstword $(wildcard $(BIN)/python) $(PYTHON)),$(PYTHON))
bench-gpu: ## Is the GPU right, and how fast: at most 8 minutes, no network; writes benchmarks/results-gpu.md (PYTHON=python3: that one; DRY=1: toy sizes, no GPU)
	$(GPU_PYTHON) -m benchmarks.gpu $(if $(DRY),--dry-run) $(if $(ONLY),--only $(ONLY))

rebuild: setup ## All stages of DOMAIN for TASKS (JOBS=2: two at a time, CLUSTER=slurm: there; FORCE=1: again, comparing digests)
	$(BIN)/python run.py -m stage=all domain=$(DOMAIN) task=$(TASKS) $(if $(FORCE),force=true) \
	  $(AT_ONCE)

named_tasks = $(if $(filter file,$(origin TASKS)),,'task=[$(TASKS)]')
regent: setup ## REGENT's data of DOMAIN, all tasks or TASKS=a,b; from JAT, FOLDER=... local, SOURCE= collects; atari: WEIGHTS=FILE
	$(BIN)/python run.py stage=all domain=$(DOMAIN) $(named_tasks) $(if $(SOURCE),source=$(SOURCE)) $(if $(FOLDER),source.path=$(FOLDER)) \
	  $(if $(EMBEDDING),embedding=$(EMBEDDING)) $(if $(WEIGHTS),embedding.weights=$(WEIGHTS))

regent-all: ## REGENT's data of all four domains: 157 tasks
	$(MAKE) regent DOMAIN=metaworld
	$(MAKE) regent DOMAIN=mujoco
	$(MAKE) regent DOMAIN=babyai
	$(MAKE) regent DOMAIN=atari EMBEDDING=resnet18_regent WEIGHTS=$(WEIGHTS)

EXPERIMENTS ?= regent_metaworld regent_mujoco regent_babyai regent_atari lram_atari kabuki_metaworld rlhf_blender image_text
words_of = $(if $(filter regent_%,$(1)),$(if $(FOLDER),source.path=$(FOLDER))) $(if $(filter regent_atari,$(1)),embedding.weights=$(or $(WEIGHTS),null)) \
  $(if $(filter lram_atari,$(1)),$(if $(ROOT),source.root=$(ROOT)))

rebuild-all: setup ## Everything of the five jobs, a job for each task: the files of conf/experiment, or EXPERIMENTS="a b" (WEIGHTS=FILE, FOLDER= of JAT, ROOT= of DQN Replay; JOBS=2, CLUSTER=slurm)
	failed=0; \
	$(foreach experiment,$(EXPERIMENTS),$(BIN)/python run.py -m experiment=$(experiment) $(call words_of,$(experiment)) $(AT_ONCE) || failed=1;) \
	exit $$failed

dqn-replay: setup ## The DQN Replay Dataset, its 60 games or TASKS=a,b (ROOT=FOLDER or URL, RUN=1..5, JOBS=2: two games at a time)
	$(BIN)/python run.py -m stage=ingest domain=atari source=dqn_replay source.run=$(RUN) $(if $(ROOT),source.root=$(ROOT)) \
	  $(if $(filter file,$(origin TASKS)),+sweep=atari60,task=$(TASKS)) \
	  $(AT_ONCE)

OUT ?= outputs/atari-1m
AS_LRAM := domain=atari dataset=atari-1m-v1 format.full_actions=true format.returns_to_go=true format.link=true
PUBLISHED = $(BIN)/python run.py -m 'stage=[ingest,export]' $(AS_LRAM) source=dqn_replay source.quality=expert source.num_slices=49 \
  source.max_transitions=1000000 $(if $(ROOT),source.root=$(ROOT)) format=hdf5 format.out=$(OUT) $(AT_ONCE)
GAMES_1M = $(subst $(comma), ,$(if $(filter file,$(origin TASKS)),$(shell sed -n 's/^ *task: //p' conf/sweep/atari46.yaml),$(TASKS)))
comma := ,
space := $(subst ,, )

atari-1m: setup ## LRAM's published data: a million transitions of each of its 46 games, or TASKS=a,b, as HDF5 files in OUT=FOLDER
	failed=0; \
	$(if $(filter asterix,$(GAMES_1M)),$(PUBLISHED) task=asterix source.run=2 || failed=1;) \
	$(if $(filter-out asterix,$(GAMES_1M)),$(PUBLISHED) task=$(subst $(space),$(comma),$(strip $(filter-out asterix,$(GAMES_1M)))) source.run=$(RUN) || failed=1;) \
	exit $$failed

atari-1m-formats: setup ## The same Pong again as npzc, npz and pkl, in OUT-npzc, OUT-npz and OUT-pkl
	for form in npzc npz pkl; do \
	  $(BIN)/python run.py stage=export $(AS_LRAM) task=pong format=$$form format.out=$(OUT)-$$form || exit 1; done

FRAMES ?= 100
EPISODES ?= 5
RANDOMNESS ?= 0.2
PICTURES = $(if $(filter file,$(origin OUT)),outputs/image-text,$(OUT))
SCREENS := domain=atari dataset=image-text-v1

image-text: setup ## Screens and actions of 62 Atari games, or TASKS=a,b, as both image-text parquets in OUT=FOLDER, verified (FRAMES=, EPISODES=, RANDOMNESS=)
	$(BIN)/python run.py 'stage=[collect,export]' $(SCREENS) $(or $(named_tasks),task=all) frames=$(FRAMES) episodes=$(EPISODES) \
	  policy.randomness=$(RANDOMNESS) format=interleaved format.out=$(PICTURES)/atari_full_dataset.parquet
	$(BIN)/python run.py stage=export $(SCREENS) $(or $(named_tasks),task=all) episodes=$(EPISODES) format=simple format.out=$(PICTURES)/atari_simple.parquet
	$(BIN)/python run.py stage=verify domain=atari

TREE = $(if $(filter file,$(origin OUT)),outputs/blender,$(OUT))

blender: setup ## Ten random episodes of CartPole in a folder that RLHF-Blender's server runs in (OUT=FOLDER), verified
	$(BIN)/python run.py 'stage=[collect,export]' domain=gym domain.env_id=CartPole-v1 episodes=10 format=rlhf_blender format.out=$(TREE)
	$(BIN)/python run.py stage=verify domain=gym domain.env_id=CartPole-v1 task=cartpole-v1

report: setup ## HTML pages of DOMAIN for TASKS
	$(BIN)/python run.py -m stage=report domain=$(DOMAIN) task=$(TASKS)

catalog: setup ## What exists
	$(BIN)/python run.py stage=catalog

status: setup ## How each campaign stands, and what finishes it
	$(BIN)/python run.py stage=status

verify: setup ## Checksums and invariants of everything
	$(BIN)/python run.py stage=verify

clean: ## Remove caches (never outputs/)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
