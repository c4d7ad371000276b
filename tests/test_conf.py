"""The shipped configuration: every choice composes, and every stage's keys are its function's parameters."""

import inspect
import re
import subprocess
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate

from pipeline.campaign.stage import StageFacts
from pipeline.command import STAGES_OF
from pipeline.embedding.networks import Network
from pipeline.formats.choice import FORMS, form_of
from pipeline.formats.contract import Format
from pipeline.interfaces import Policy
from tests.pipeline.policies.test_checkpoints import written

CONF = Path(__file__).parent.parent / "conf"
FUNCTIONS = (
    *("collect", "ingest", "frames", "embeddings", "retrieval", "distances", "bins", "parquet"),
    *("plan", "publish", "fetch", "report", "report_index", "catalog", "status", "verify", "gc", "export"),
    *("register", "doctor", "stitch", "select", "split", "bench_loading", "sync"),
)
REGENT = ["embeddings", "retrieval", "distances", "bins", "parquet"]
FILE = "policy.file=${oc.env:REPERTOIRE_PROJECT}/agent.zip"
POLICIES: dict[str, list[str]] = {
    "random": [],
    "scripted": [],
    "sb3": ["policy.path=agent.zip", FILE, "trust=true"],
    "torchscript": ["policy.path=agent.pt", FILE, "trust=true"],
    "callable": ["policy.function._target_=tests.pipeline.policies.test_function.sign"],
}
"""What each policy cannot do without."""

REFERENCE = re.compile(r"\$\{(?:oc\.select:)?(\w+)")
"""The group that an interpolation reads."""

DOMAINS = {"gym": ["domain.env_id=CartPole-v1"]}
"""What a domain cannot do without."""


@pytest.fixture(autouse=True)
def composed(monkeypatch, tmp_path):
    monkeypatch.setenv("REPERTOIRE_PROJECT", str(tmp_path))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def choices(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def built_domain(name):
    words = [f"domain={name}", *DOMAINS.get(name, [])]
    return instantiate(compose("config", words).domain, _convert_="object")


@pytest.mark.parametrize("stage", FUNCTIONS)
def test_a_stage_config_is_a_call_of_its_function(stage):
    node = compose("config", [f"stage={stage}", "domain=toy"]).stage[stage]
    module, _, name = node._target_.rpartition(".")
    function = inspect.unwrap(getattr(import_module(module), name))
    assert set(node) - {"_target_"} == set(parameters(function))


def parameters(function):
    """The names that a function takes; also those of a TypedDict, for a word of Python can name no parameter."""
    for each in inspect.signature(function).parameters.values():
        if each.kind == each.VAR_KEYWORD:
            yield from get_type_hints(function)[each.name].__args__[0].__annotations__
        else:
            yield each.name


def test_every_stage_file_is_tested_here():
    assert set(choices("stage")) == {*FUNCTIONS, "regent", "all"}


@pytest.mark.parametrize(
    ("asked", "order"),
    [
        ("retrieval", ["retrieval"]),
        ("[distances,retrieval]", ["distances", "retrieval"]),
        ("regent", REGENT),
        ("all", ["collect", "ingest", *REGENT]),
        ("[all,report]", ["collect", "ingest", *REGENT, "report", "report_index"]),
    ],
)
def test_one_stage_a_list_and_a_recipe_give_one_ordered_mapping(asked, order):
    assert list(compose("config", [f"stage={asked}", "domain=toy"]).stage) == order


@pytest.mark.parametrize("domain", choices("domain"))
def test_every_domain_is_built_without_its_simulator(domain):
    built = built_domain(domain)
    assert built.name == domain
    assert set(built.unseen) <= set(built.tasks)
    assert built.task(f"{domain}-{built.tasks[0]}") == built.tasks[0]


@pytest.mark.parametrize("policy", choices("policy"))
def test_every_policy_is_built(policy, tmp_path):
    written(tmp_path / "agent.zip")
    node = compose("config", [f"policy={policy}", *POLICIES[policy]]).policy
    assert isinstance(instantiate(node.player)(), Policy)


@pytest.mark.parametrize(
    ("words", "policy"),
    [
        ([], "scripted"),
        (["domain=toy"], "scripted"),
        (["domain=atari"], "random"),
        (["domain=atari", "policy=scripted"], "scripted"),
        (["policy=sb3", "domain=atari", "policy.path=x"], "sb3"),
    ],
)
def test_a_domain_without_experts_has_random_as_its_default_policy(words, policy):
    assert compose("config", words, return_hydra_config=True).hydra.runtime.choices.policy == policy


@pytest.mark.parametrize("embedding", choices("embedding"))
def test_every_embedding_is_built_without_its_network(embedding):
    module = ["embedding.network.make._target_=tests.pipeline.embedding.encoders.Small", "embedding.features=8"]
    words = [f"embedding={embedding}", "embedding.weights=random", *(module if embedding == "module" else [])]
    built = instantiate(compose("config", words).embedding, _convert_="object")
    assert isinstance(built.network, Network)
    assert built.identity()["weights"] == {"random": 0}


@pytest.mark.parametrize(
    ("words", "embedding"),
    [
        (["domain=atari"], "resnet18_regent"),
        (["domain=atari", "embedding=resnet50"], "resnet50"),
        (["embedding=vit", "domain=atari"], "vit"),
        (["domain=toy"], None),
    ],
)
def test_atari_is_embedded_as_regent_does_unless_asked_otherwise(words, embedding):
    assert compose("config", words, return_hydra_config=True).hydra.runtime.choices.embedding == embedding


@pytest.mark.parametrize("storage", choices("storage"))
def test_every_storage_is_built(storage):
    assert instantiate(compose("config", [f"storage={storage}"]).workspace).storage.name == storage


def test_every_format_has_the_settings_of_its_class_and_can_be_made_again_from_a_manifest():
    """The class under `writer` is the one of FORMS, and its arguments are the user's keys."""
    targets = {}
    for name in choices("format"):
        text = (CONF / "format" / f"{name}.yaml").read_text()
        assert text.startswith(f"# python run.py stage=export format={name} domain="), name
        settings = yaml.safe_load(text)
        writer = settings.pop("writer")
        targets[name] = writer.pop("_target_")
        assert {"out": None, "strict": False, "link": False}.items() <= settings.items()
        form = instantiate(compose("config", [f"format={name}"]).format.writer, _convert_="object")
        assert isinstance(form, Format)
        assert form.name == name
        if form.source(Path("nowhere")):
            assert settings["final_observation"] is None
        again = form_of({"format": name, **form.identity()})
        assert type(again) is type(form)
        assert again.identity() == form.identity()
    assert targets == FORMS


def test_metaworld_has_the_fifty_jat_tasks_of_which_five_are_held_out():
    domain = instantiate(compose("config", ["domain=metaworld"]).domain, _convert_="object")
    assert (len(domain.tasks), len(domain.unseen)) == (50, 5)
    assert domain.task("assembly-v3") == domain.task("Metaworld-Assembly") == "assembly"


@pytest.mark.parametrize("sweep", choices("sweep"))
def test_every_sweep_names_tasks_of_one_domain(sweep):
    names = compose("config", [f"+sweep={sweep}"], return_hydra_config=True).hydra.sweeper.params.task.split(",")
    assert len(names) == len(set(names))
    domains = [built_domain(domain) for domain in choices("domain")]
    assert any(set(names) <= set(domain.tasks) for domain in domains)
    count = "".join(character for character in sweep if character.isdigit())
    assert len(names) == int(count)


@pytest.fixture
def recipe_of(monkeypatch):
    """The settings of a recipe, as a job of its own has them."""

    def composed_of(name, *words):
        cfg = compose("config", [f"experiment={name}", *words], return_hydra_config=True)
        monkeypatch.setattr(HydraConfig.instance(), "cfg", cfg)
        return cfg

    return composed_of


@pytest.mark.parametrize("name", choices("experiment"))
def test_a_recipe_begins_with_its_command_and_sweeps_over_tasks_or_forms_that_there_are(name, recipe_of):
    text = (CONF / "experiment" / f"{name}.yaml").read_text()
    assert text.splitlines()[1].startswith(f"# python run.py experiment={name}")
    cfg = recipe_of(name)
    stages = list(cfg.stage)
    assert ("embeddings" in stages) == name.startswith("regent_")
    swept = {group: str(words).split(",") for group, words in (cfg.hydra.sweeper.params or {}).items()}
    assert set(swept.get("task", [])) <= set(instantiate(cfg.domain, _convert_="object").tasks)
    assert set(swept.get("format", [])) <= set(choices("format"))
    assert swept.keys() <= {"task", "format"}
    if "export" in stages:
        place = str(cfg.stage.export.out)
        assert place.startswith(str(cfg.paths.root))
        assert "None" not in place


def test_a_recipe_gives_way_to_what_is_typed(recipe_of):
    cfg = recipe_of("kabuki_metaworld", "episodes=3", "format=d4rl", "domain=toy")
    assert (cfg.episodes, cfg.domain.name, cfg.stage.collect.episodes) == (3, "toy", 3)
    assert str(cfg.format.out).endswith("/kabuki/d4rl/")


@pytest.mark.parametrize(("task", "run"), [("asterix", 2), ("pong", 1), ("[asterix,pong]", 1)])
def test_asterix_is_read_from_its_second_training_as_lram_does(task, run, recipe_of):
    assert recipe_of("lram_atari", f"task={task}").source.run == run


def test_everything_is_every_recipe_on_the_cluster_that_is_named():
    line = ["make", "-n", "rebuild-all", "CLUSTER=slurm", "WEIGHTS=W.pth", "ON=cluster.partition=gpu"]
    text = subprocess.run(line, capture_output=True, text=True, check=True, cwd=CONF.parent).stdout
    jobs = re.findall(r"run.py -m experiment=(\w+) (.*?) \|\| failed=1;", text)
    assert sorted(name for name, _ in jobs) == choices("experiment")
    assert all(words.endswith("+cluster=slurm cluster.partition=gpu") for _, words in jobs)
    assert "embedding.weights=W.pth" in dict(jobs)["regent_atari"]
    help_page = (CONF / "hydra/help/page.yaml").read_text()
    assert all(f"experiment={name}" in help_page for name in choices("experiment") if not name.startswith("regent_"))


def test_every_target_is_ours():
    for path in CONF.rglob("*.yaml"):
        for word in path.read_text().split():
            if word.startswith(("pipeline.", "stages.")):
                module, _, name = word.rstrip(",}").rpartition(".")
                assert hasattr(import_module(module), name), (path, word)
        assert yaml.safe_load(path.read_text()) is not None, path


@pytest.mark.parametrize("stage", FUNCTIONS)
def test_every_stage_declares_its_facts_and_asks_only_for_settings_that_it_has(stage):
    node = compose("config", [f"stage={stage}", "domain=toy"]).stage[stage]
    facts = import_module(node._target_.rpartition(".")[0]).FACTS
    assert isinstance(facts, StageFacts)
    for question in (facts.tasks, facts.foresee):
        assert question is None or set(inspect.signature(question).parameters) <= set(node)


@pytest.mark.parametrize("name", [path.stem for path in sorted((CONF / "source").glob("*.yaml"))])
def test_every_source_has_the_settings_of_its_class_and_begins_with_a_command(name):
    text = (CONF / "source" / f"{name}.yaml").read_text()
    settings = yaml.safe_load(text)
    module, _, kind = settings.pop("_target_").rpartition(".")
    source = getattr(import_module(module), kind)
    assert source.name == name
    assert set(settings) == set(inspect.signature(source).parameters)
    assert text.startswith("# python run.py stage=ingest ")
    assert f"source={name}" in text.splitlines()[0]


PART_OF_THE_CHAIN = ("bins", "tokenizer")
"""Settings of a recipe that only some of the stages read that are given one."""


@pytest.mark.parametrize("stage", FUNCTIONS)
def test_a_suggested_command_keeps_every_setting_that_its_stage_reads(stage):
    recipe = yaml.safe_load((CONF / "config.yaml").read_text())["recipe"]
    read = re.findall(REFERENCE, (CONF / "stage" / f"{stage}.yaml").read_text())
    if "recipe" in read:
        read += [group for group in re.findall(REFERENCE, str(recipe)) if group not in PART_OF_THE_CHAIN]
    assert "workspace" in read
    assert not {group for group in read if stage not in STAGES_OF.get(group, [stage])}
