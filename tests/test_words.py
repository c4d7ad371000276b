"""What run.py says about a command that cannot be understood: one or two lines of its own, never Hydra's."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.test_run import ROOT

COLLECT = ("stage=collect", "domain=toy")


def known(group: str) -> str:
    """The choices of a group, as messages list them."""
    return "Known: " + ", ".join(sorted(file.stem for file in (ROOT / "conf" / group).glob("*.yaml"))) + "."


COMMANDS: list[tuple[tuple[str, ...], str]] = [
    ((), "Say which stage: stage=NAME. --help shows them all."),
    (("stage=retreival", "domain=toy"), "There is no stage named retreival. Nearest: retrieval."),
    (("stage=collect", "domain=metawrld"), f"There is no domain named metawrld. {known('domain')}"),
    (
        ("format=kabuki", "domain=toy"),
        "Say which stage: stage=NAME. --help shows them all.\n"
        "Begin with: python run.py stage=export domain=toy format=kabuki",
    ),
    (
        ("stage=ingest", "domain=toy", "source=npzc"),
        "There is no source named npzc: what format=npzc writes comes in by source=lram.",
    ),
    (
        ("stage=ingest", "domain=toy", "source=bagel"),
        "format=bagel only goes out: nothing reads it as a source. "
        "These come in again: d4rl, frames, kabuki, lerobot, lram, minari, ogbench, rlds, rlhf_blender.\n",
    ),
    (("stage=ingest", "domain=toy", "source=kabouki"), f"There is no source named kabouki. {known('source')}"),
    (("stage=export", "format=kabuki"), "export failed: stage=export needs a domain: domain=NAME\n"),
    (("stage=export", "domain=toy", "format=hdf"), "There is no format named hdf. Nearest: hdf5."),
    ((*COLLECT, "storage=hdf5"), f"There is no storage named hdf5. {known('storage')}"),
    (
        ("experiment=regent_ataris",),
        "There is no experiment named regent_ataris. "
        "Known: image_text, kabuki_metaworld, lram_atari, regent_atari, regent_babyai, regent_metaworld, "
        "regent_mujoco, rlhf_blender.",
    ),
    (
        ("-m", *COLLECT, "+sweep=atari75"),
        "There is no sweep named atari75. "
        "Known: atari41, atari46, atari57, atari5_unseen, atari60, babyai39, metaworld50, mujoco11.",
    ),
    (
        (*COLLECT, "sweep=atari57"),
        "sweep=atari57 is no choice that every command has: add it with a plus, +sweep=atari57",
    ),
    (("-m", *COLLECT, "cluster=slurm,ray"), "cluster=slurm,ray: all jobs of a sweep share one cluster.\n"),
    (("-m", *COLLECT, "+cluster=slurm,ray"), "+cluster=slurm,ray: all jobs of a sweep share one cluster.\n"),
    (
        ("-m", *COLLECT, "+cluster=slurm", "cluster.cores=2,4"),
        "cluster.cores=2,4: all jobs of a sweep share one cluster.cores.\n",
    ),
    ((*COLLECT, "cluster.cores=2"), "There is no setting cluster here; +cluster="),
    ((*COLLECT, "+cluster=slurm", "cluster.core=2"), "There is no setting cluster.core. Nearest: cluster.cores.\n"),
    (
        ("-m", *COLLECT, "hydra/launcher=slurm"),
        "hydra/launcher=slurm: write +cluster=slurm, which brings its settings along.\n",
    ),
    (("-m", "hydra/launcher=jobli", *COLLECT), "There is no launcher named jobli. Known: basic, "),
    (
        ("stage=export", "domain=toy", "format=kabuki", "format.prefix=x"),
        "There is no setting format.prefix here; format=bagel and format=thinkmorph have it. "
        "Below format there are: compression, final_observation, link, out, strict.\n",
    ),
    (
        ("stage=collect", "domain=gym", "domain.env_kwargs={size: 4}"),
        "domain.env_kwargs has no names of its own: put a + before it, '+domain.env_kwargs={size: 4}'\n",
    ),
    (
        (*COLLECT, "policy=callable", "policy.function.speed=2"),
        "policy.function has no names of its own: put a + before it, +policy.function.speed=2\n",
    ),
    ((*COLLECT, "episdes=5"), "There is no setting episdes. Nearest: episodes."),
    ((*COLLECT, "demos=3"), "There is no setting demos. Nearest: retrieval.demos, domain.regent.demos."),
    ((*COLLECT, "retrieval.demoes=3"), "There is no setting retrieval.demoes. Nearest: retrieval.demos."),
    (
        (*COLLECT, "domain.environment.max_stepss=3"),
        "There is no setting domain.environment.max_stepss. Nearest: domain.environment.max_steps.",
    ),
    ((*COLLECT, "hydra.verbos=true"), "There is no setting hydra.verbos. Nearest: hydra.verbose."),
    ((*COLLECT, "+episdes=1"), "+episdes=1: There is no setting episdes. Nearest: episodes."),
    ((*COLLECT, "++xyzzy.x=1"), "++xyzzy.x=1: There is no setting xyzzy.x. python run.py --help shows those that"),
    ((*COLLECT, "+stage.collect.x=1"), "+stage.collect.x=1: There is no setting stage.collect.x."),
    ((*COLLECT, "+seed=1"), "seed is a setting that there is: write seed=... without the plus."),
    ((*COLLECT, "+domain=toy"), "domain has a value already: write domain=... without the plus."),
    (
        (*COLLECT, "task=corner,maze"),
        "task=corner,maze are several values. For a list: 'task=[corner,maze]'\n"
        "For one job after the other, each with one of them: python run.py -m stage=collect domain=toy "
        "task=corner,maze paths.root=",
    ),
    (
        ("stage=[collect,", "report]", "domain=toy"),
        "The shell has cut a list into pieces at its spaces. Put it into quotes: 'stage=[collect, report]'",
    ),
    (
        (*COLLECT, "task=[corner", "maze]"),
        "The shell has cut a list into pieces at its spaces. Put it into quotes: 'task=[corner, maze]'",
    ),
    (
        ("stage=[collect,report", "domain=toy"),
        "A bracket is not closed in stage=[collect,report: write 'stage=[collect,report]'",
    ),
    ((*COLLECT, "task=[corner,maze"), "A bracket is not closed in task=[corner,maze: write 'task=[corner,maze]'"),
    (("collect", "domain=toy"), "collect is no setting. Did you mean stage=collect?"),
    (("toy", "stage=collect"), "toy is no setting. Did you mean domain=toy?"),
    ((*COLLECT, "episodes"), "episodes needs a value: episodes=..."),
    (
        ("domain.display_name=Pole", "on", "domain=toy"),
        "on is no setting. A value with spaces needs quotes: 'domain.display_name=Pole on'",
    ),
    (("frobnicate",), "frobnicate is no setting: settings are written key=value, for example stage=all domain=toy"),
    (
        (*COLLECT, "dataset=a(b"),
        "dataset=a(b cannot be read. Put a text with special characters into quotes: 'dataset=\"a(b\"'",
    ),
    (
        (*COLLECT, 'dataset="a'),
        'dataset="a cannot be read. Put a text with special characters into quotes: \'dataset="\\"a"\'',
    ),
    (
        (*COLLECT, 'dataset="a == "b""'),
        'dataset="a == "b"" cannot be read. Put a text with special characters into quotes: \'dataset="a == \\"b\\""\'',
    ),
    (
        ("stage=collect domain=toy",),
        "'stage=collect domain=toy' is one word for the shell. Put each setting into quotes of its own: "
        "stage=collect domain=toy",
    ),
    (
        ("stage=plan", "domain=toy", "domain.env.max_steps=3"),
        "There is no setting domain.env. Nearest: domain.environment.",
    ),
    ((*COLLECT, "env=3"), "There is no setting env. python run.py --help shows those"),
    ((*COLLECT, "=5"), "=5 names no setting: settings are written key=value, for example stage=all domain=toy"),
    ((*COLLECT, "~task"), "~task takes away a setting that has no value. Leave it out."),
    ((*COLLECT, "task="), "collect toy failed: There is no toy task named ''. Known: corner, key, maze."),
    ((*COLLECT, "task=[]"), "collect toy failed: task=[] names no task."),
    (("--stage=collect",), "Settings have no dashes: stage=collect, not --stage=collect"),
    (("--multirunn", *COLLECT), "There is no flag named --multirunn. Nearest: --multirun"),
    ((*COLLECT, "dataset=${nope}"), "The value of dataset cannot be resolved: Interpolation key 'nope' not found."),
    (
        (*COLLECT, "episodes=${oc.env:NOPE}"),
        "collect toy failed: A value cannot be resolved: KeyError raised while resolving interpolation: "
        "\"Environment variable 'NOPE' not found\".\n",
    ),
    (
        (*COLLECT, "task=corner", "~seed"),
        "collect toy/corner failed: A value cannot be resolved: Interpolation key 'seed' not found.",
    ),
    (
        (*COLLECT, "episodes=abc"),
        "collect toy failed: episodes=abc is of the wrong type: it must be a whole number or null.\n",
    ),
    (
        ("stage=retrieval", "domain=toy", "task=corner", "retrieval.demos=two"),
        "retrieval toy/corner failed: retrieval.demos=two is of the wrong type: it must be a whole number or null.",
    ),
    (
        ("stage=retrieval", "domain=toy", "task=corner", "+retrieval.colour=red"),
        "retrieval toy/corner failed: There is no setting retrieval.colour: retrieval does not take it.",
    ),
    (
        (*COLLECT, "task=corner", "policy=callable", "policy.function._target_=nowhere.act"),
        "collect toy/corner failed: policy.function: nowhere.act cannot be imported",
    ),
    (
        ("stage=ingest", "domain=atari", "task=pong", "source=dqn_replay", "source.quality=best"),
        "ingest atari/pong failed: There is no source.quality named best. Known: expert, mixed, random.",
    ),
    (
        (*COLLECT, "task=corner", "policy=callable"),
        "collect toy/corner failed: policy.function._target_ has no default: write policy.function._target_=...",
    ),
    ((*COLLECT, "seed=-1"), "collect toy failed: seed=-1 must not be negative.\n"),
    ((*COLLECT, "episodes=-1"), "collect toy failed: episodes=-1 asks for nothing; it must be at least 1.\n"),
    ((*COLLECT, "states=0"), "collect toy failed: states=0 asks for nothing; it must be at least 1.\n"),
    ((*COLLECT, "dataset=a/b"), "'a/b' cannot name a dataset: use letters"),
    (("stage=report", "domain=toy", "dataset=a/b"), "'a/b' cannot name a dataset: use letters"),
    (
        ("stage=[collect,retrieval]", "domain=toy", "retrieval.demos=-1"),
        "retrieval toy failed: retrieval.demos=-1 must be at least 1.\n",
    ),
    (
        ("stage=retrieval", "domain=toy", "task=all", "episodes=-1"),
        "retrieval toy failed: episodes=-1 asks for nothing",
    ),
    (("stage=frames", "domain=toy", "task=all", "episodes=0"), "frames toy failed: episodes=0 asks for nothing"),
    ((*COLLECT, "domain.tasks=3"), "domain.tasks=3 is of the wrong type: it must be a list of texts.\n"),
    ((*COLLECT, "domain.tasks=corner"), "domain.tasks=corner is of the wrong type: it must be a list of texts.\n"),
    ((*COLLECT, "domain.tasks=[]"), "domain.tasks=[] leaves no task."),
    ((*COLLECT, "domain.max_steps=abc"), "domain.max_steps=abc is of the wrong type: it must be a whole number"),
    ((*COLLECT, "domain.episodes=0"), "domain.episodes=0 must be at least 1."),
    ((*COLLECT, "domain.regent=3"), "domain.regent=3 is of the wrong type"),
    ((*COLLECT, "domain.regent.demos=two"), "domain.regent.demos=two is of the wrong type: it must be a whole number."),
    (
        (*COLLECT, "domain.environment._target_=os.nothing"),
        "domain.environment: os.nothing cannot be imported (",
    ),
    (("stage=plan", "domain=atari", "embedding=null"), "embedding=null: a choice is a name. For no embedding at all,"),
    (("policy=sb3", *COLLECT), "Which agent? policy.path=FILE.zip, "),
    (("paths.root=/dev/null/x", *COLLECT), "Not a directory: /dev/null/x"),
]

RUN = """
import contextlib, io, json, os, runpy, sys
sys.path.insert(0, os.getcwd())
answers = []
for words in json.load(sys.stdin):
    os.environ.pop("HYDRA_FULL_ERROR", None)
    sys.argv = ["run.py", *words]
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            runpy.run_path("run.py", run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code
    answers.append((status, text.getvalue()))
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Exit status and all that is printed, for each of the commands; one process runs them all."""
    root = f"paths.root={tmp_path_factory.mktemp('words')}"
    commands = [words if any("paths.root" in word for word in words) else (*words, root) for words, _ in COMMANDS]
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=json.dumps(commands), capture_output=True, text=True, cwd=ROOT, check=True
    )
    return dict(zip([words for words, _ in COMMANDS], json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize(("words", "message"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_a_command_that_cannot_be_understood_is_answered_in_one_or_two_lines(answers, words, message):
    status, text = answers[words]
    assert text.startswith(message), text
    assert status == 1
    assert len(text.splitlines()) <= 2
    assert not [word for word in ("Traceback", "HYDRA_FULL_ERROR", "full_key", "hydra.cc") if word in text]


def test_hydra_knows_no_other_flags():
    from hydra._internal.utils import get_args_parser

    from pipeline.campaign.words import FLAGS

    assert {flag for action in get_args_parser()._actions for flag in action.option_strings} == set(FLAGS)
