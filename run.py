"""The one door: Hydra composes the configuration, the stages do the work. `python run.py --help`"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.machine.interrupts import Stopped, answer_interrupts, hold_interrupts, start_tracker

if __name__ == "__main__":
    hold_interrupts()

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

if TYPE_CHECKING:
    from pipeline.campaign.run import Campaign
    from pipeline.campaign.stage import StageFacts
    from pipeline.command import Command, Typed
    from pipeline.policies.checkpoints import Checkpoint

CONF = Path(__file__).resolve().parent / "conf"

os.environ.setdefault("REPERTOIRE_PROJECT", str(CONF.parent))


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    """One job: the asked stages for the asked tasks and, where a policy has several checkpoints, for each of those."""
    from pipeline.machine.threads import keep_to_cores

    keep_to_cores()  # before any library is loaded that looks how many there are

    from pipeline.campaign.apart import run_apart
    from pipeline.campaign.run import run_campaign
    from pipeline.command import user_typed
    from pipeline.machine.memory import keep_freed_memory
    from pipeline.machine.outlets import keep_secrets_out

    keep_freed_memory()
    keep_secrets_out()
    folder = Path(HydraConfig.get().runtime.output_dir)
    with user_typed(_typed()):
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            run_apart(partial(_campaign, cfg), folder, *_named(cfg))
        else:
            run_campaign(partial(_campaign, cfg), folder)


def _named(cfg: DictConfig) -> tuple[str, str]:
    """The first asked stage and `domain/task`, as far as they can be told without building anything; loads the stages,
    so that a forked child finds them there.
    """
    with suppress(Exception):  # the job itself says what is wrong with them
        stages = [*_stages(cfg)]
        for name in stages:
            _facts(cfg.stage[name])
        task = cfg.task if isinstance(cfg.task, str) else ""
        return stages[0], "/".join(filter(None, [OmegaConf.select(cfg, "domain.name") or "", task]))
    return "", ""


def _typed() -> Typed:
    """What the user typed for this job, for the commands that messages tell."""
    from pipeline.command import group_of

    words = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)  # ${...} stays as it was typed
    assert isinstance(words, list)
    words = [word for word in words if group_of(word) != "cluster"]  # where it runs is no matter of the job's own
    return replace(_typed_at_first(words), door="ingest" if _source() else "collect")


def _typed_at_first(words: list[str]) -> Typed:
    """What was typed, before Hydra has understood it."""
    from pipeline.command import Typed

    script = Path(sys.argv[0])
    here = Path("run.py").resolve() == Path(__file__).resolve() or script.name != "run.py"
    return Typed(tuple(words), "run.py" if here else str(script))


def _campaign(cfg: DictConfig) -> Campaign:
    from pipeline.campaign.run import Campaign

    with _plain_errors():
        _set_as_registered(cfg)
        return Campaign(
            stages={name: _facts(node) for name, node in _stages(cfg).items()},
            datasets=_datasets(cfg),
            domain=instantiate(cfg.get("domain"), _convert_="object"),
            task=cfg.task if isinstance(cfg.task, str) else instantiate(cfg.task, _convert_="object"),
            store=instantiate(cfg.workspace),
            inputs=cfg.inputs,
            build_input=_build_input,
        )


def _stages(cfg: DictConfig) -> dict[str, DictConfig]:
    """The asked stages. Of the two doors to episodes only the one that fits; embeddings only where a network is set."""
    asked = cfg.get("stage") or {}
    left_out = set()
    if {"collect", "ingest"} <= set(asked):
        left_out.add("collect" if _source() else "ingest")
    if len(asked) > 1 and "embedding" not in cfg:
        left_out.add("embeddings")
    return {name: node for name, node in asked.items() if name not in left_out}


def _source() -> str | None:
    source: str | None = HydraConfig.get().runtime.choices.get("source")
    return source


def _facts(node: DictConfig) -> StageFacts:
    """What the stage's module declares about it."""
    facts: StageFacts = import_module(node._target_.rpartition(".")[0]).FACTS
    return facts


@dataclass(frozen=True)
class Composed:
    """The composed settings of one dataset (pipeline.campaign.stage.Settings)."""

    cfg: DictConfig
    _built: dict[tuple[str, str | None], partial[Any]] = field(default_factory=dict)

    def call(self, stage: str, task: str | None) -> Any:
        """Build what the stage is given, then call it here: called by Hydra, its errors would be wrapped."""
        built = self._built.pop((stage, task), None)  # for a question; a stage has its own, and once
        return (built or self._stage(stage, task))()

    def ask(self, stage: str, question: Callable[..., Any], task: str | None) -> Any:
        """Call a function that the stage declares with those of the stage's settings that it names."""
        if (stage, task) not in self._built:
            self._built[stage, task] = self._stage(stage, task)
        settings = self._built[stage, task].keywords
        return question(**{name: settings[name] for name in signature(question).parameters})

    def _stage(self, stage: str, task: str | None) -> partial[Any]:
        own = self.cfg
        if task not in (None, own.task):
            own = deepcopy(own)
            own.task = task
        return _bound(own.stage[stage])


def _bound(node: DictConfig) -> partial[Any]:
    with _plain_errors():
        bound: partial[Any] = instantiate(node, _convert_="object", _partial_=True)
        return bound


def _datasets(cfg: DictConfig) -> dict[str, Composed]:
    """The settings by the name of the dataset that is made or read: one for each checkpoint of a policy.

    Where a stage makes a dataset that has no name but the one that is given, and none is, that stage says so.
    """
    from pipeline.dataset.workspace import check_dataset_name

    if cfg.dataset is None and any(_facts(node).names_dataset for node in _stages(cfg).values()):
        return {"": Composed(cfg)}
    checkpoints = [] if _source() or "each" not in cfg.policy else _bound(cfg.policy.each)()
    if not checkpoints:
        door = (_source() or HydraConfig.get().runtime.choices["policy"]).replace("_", "-")
        cfg.dataset = check_dataset_name(cfg.dataset or f"{door}-v1")
        return {cfg.dataset: Composed(cfg)}
    from pipeline.policies.checkpoints import by_dataset

    found = {}
    _set_as_trained(cfg, checkpoints[0])
    for name, each in by_dataset(checkpoints, cfg.dataset, one="publish" in _stages(cfg)).items():
        own = deepcopy(cfg)
        own.dataset, own.policy.file = name, str(each.file)
        found[name] = Composed(own)
    return found


def _set_as_trained(cfg: DictConfig, checkpoint: Checkpoint) -> None:
    """Set what lies beside a policy's checkpoints says of their training, but for what somebody has set."""
    from pipeline.command import also_typed, key_of, typed

    if "as_trained" not in cfg.policy:
        return
    now, shipped = (_settings_of(each) for each in (cfg, _shipped(cfg)))
    given = {key_of(word) for word in typed().words} | {key for key in now if now[key] != shipped.get(key)}
    changed = _bound(cfg.policy.as_trained)(checkpoint.file, now=now, given=given)
    for key, value in changed.items():
        OmegaConf.update(cfg, key, value)
    also_typed(changed)


def _set_as_registered(cfg: DictConfig) -> None:
    """Set what the place of an export knows of the environment, but for what somebody has set."""
    from pipeline.command import also_typed, key_of, typed

    if OmegaConf.select(cfg, "format.as_registered") is None or not cfg.get("domain"):
        return
    now, shipped = (_plain_settings(each, "domain") for each in (cfg, _shipped(cfg)))
    words = {key_of(word) for word in typed().words}
    given = {
        key
        for key in now
        if now[key] != shipped.get(key) or any(word == key or word.startswith(f"{key}.") for word in words)
    }
    changed = _bound(cfg.format.as_registered)(now=now, given=given)
    for key, value in changed.items():
        OmegaConf.update(cfg, key, value, force_add=True)
    also_typed(changed)


def _plain_settings(cfg: DictConfig, group: str) -> dict[str, Any]:
    """The settings of a group by key, as they are."""
    plain = OmegaConf.to_container(cfg[group], resolve=False)
    return {f"{group}.{key}": value for key, value in dict(plain).items()}  # type: ignore[arg-type]


def _settings_of(cfg: DictConfig) -> dict[str, Any]:
    """The plain settings of the policy, and of the domain's environment, by key."""
    parts = {"policy": cfg.get("policy"), "domain.environment": OmegaConf.select(cfg, "domain.environment")}
    plain = {part: OmegaConf.to_container(node, resolve=False) for part, node in parts.items() if node is not None}
    return {f"{part}.{key}": value for part, values in plain.items() for key, value in dict(values).items()}  # type: ignore[arg-type]


def _shipped(cfg: DictConfig) -> DictConfig:
    """The files of the chosen domain and policy, as they are."""
    chosen = HydraConfig.get().runtime.choices
    groups = [group for group in ("domain", "policy") if chosen.get(group)]
    return OmegaConf.create({group: OmegaConf.load(CONF / group / f"{chosen[group]}.yaml") for group in groups})


def _build_input(command: Command) -> None:
    """Run the command that makes a missing input, as if it had been pasted."""
    cfg = hydra.compose("config", command.words())
    with _plain_errors():
        _set_as_registered(cfg)
    for composed in _datasets(cfg).values():
        for name in _stages(cfg):
            composed.call(name, command.task)


class Failures(Callback):
    """Shows every failure of a run or sweep as a table and sets the exit status; jobs of a sweep never see Ctrl-C.

    A sweep writes down which jobs it has, for stage=status.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _refuse_at_once(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _refuse_at_once(config)
        start_tracker()  # the jobs may be processes
        from pipeline.campaign.failures import forget_failures
        from pipeline.campaign.job import begin_campaign

        folder = Path(config.hydra.sweep.dir)
        forget_failures(folder)
        launcher = str(config.hydra.runtime.choices["hydra/launcher"])
        jobs = _jobs(config)
        self._several = jobs is None or len(jobs) > 1
        self._over = begin_campaign(folder, sys.argv[1:], jobs, launcher)
        atexit.register(self._over)  # where the sweep is stopped, its end is never called

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._end(config.hydra.run.dir)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._over()
        self._end(config.hydra.sweep.dir, self._several)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: a cluster's jobs take a copy along, and the sweep's sign of life is this process's own."""
        return {}

    def _end(self, folder: str, several_jobs: bool = False) -> None:
        from pipeline.campaign.failures import print_failures

        if print_failures(Path(folder), several_jobs):
            sys.exit(1)


def _jobs(config: DictConfig) -> list[list[str]] | None:
    """The words of each job of a sweep, as Hydra's own sweeper makes them; None where another one decides."""
    sweeper = config.hydra.sweeper
    if sweeper._target_.rpartition(".")[2] != BasicSweeper.__name__:
        return None
    words = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    with suppress(Exception):  # the sweep itself says what is wrong with them
        parsed = OverridesParser.create().parse_overrides([*words, *config.hydra.overrides.task])
        return [list(job) for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
    return None


def _refuse_at_once(config: DictConfig) -> None:
    """End here, before Hydra writes the settings down, where one holds a secret, from wherever it comes, or where the
    folder that they are written to has an impossible name.
    """
    from pipeline.campaign.secret_words import refuse_secret_settings
    from pipeline.errors import InvalidSettings
    from pipeline.machine.folder_names import require_utf8_root

    try:
        refuse_secret_settings(_settings(config))
        with suppress(OmegaConfBaseException):  # a root that refers to nothing is told of where it is used
            require_utf8_root(str(config.paths.root))
    except InvalidSettings as error:  # Hydra would turn an error of a callback into a warning
        print(error, file=sys.stderr)
        sys.exit(1)


def _settings(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """The full name of each setting, and its value; references to others are followed as far as they lead."""
    from pipeline.campaign.secret_words import leaves

    for name, value in leaves(OmegaConf.to_container(config, resolve=False)):
        yield name, value
        if isinstance(value, str) and "${" in value and (not name.startswith("hydra.") or name.endswith(".dir")):
            with suppress(OmegaConfBaseException):
                found = OmegaConf.select(config, name, throw_on_resolution_failure=False)
                yield name, found if isinstance(found, str) else None  # what a whole group holds is met under its name


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Put Hydra's and OmegaConf's errors into our words; our own errors leave what Hydra wrapped around them."""
    from pipeline.errors import InvalidSettings

    try:
        yield
    except InstantiationException as error:
        raise _unwrapped(error) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise InvalidSettings(_in_words(error)) from error
    except ValueError as error:
        if not str(error).startswith("Config group override must be"):
            raise
        raise InvalidSettings(_in_words(error)) from error


def _unwrapped(error: BaseException) -> BaseException:
    """What went wrong while Hydra built a part: the part's own error, or that there is no such part."""
    from pipeline.campaign import words
    from pipeline.errors import CauseOfAll, InvalidInput, InvalidSettings

    message, outer = str(error), error
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        message, outer, error = str(error), error, error.__cause__
    if isinstance(error, OmegaConfBaseException):
        return InvalidSettings(_in_words(error))
    if isinstance(error, InvalidInput) and not isinstance(error, CauseOfAll):
        return InvalidSettings(str(error))  # the same for every task
    if "locating target" in message or isinstance(error, InstantiationException):
        return InvalidSettings(words.part_not_built(message, None if error is outer else error))
    if isinstance(error, TypeError):
        return InvalidSettings(words.part_not_fitting(message, error))
    return error


def _in_words(error: Exception) -> str:
    """Our message in place of Hydra's or OmegaConf's own."""
    from pipeline.campaign import words

    cause = error.__cause__
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return words.unknown_choice(error.missing_cfg_file, list(error.options or ()), _choices()["format"])
    if isinstance(error, OverrideParseException):
        return words.unreadable(error.override, sys.argv[1:], _choices())
    if isinstance(cause, (ConfigAttributeError, ConfigKeyError)) and isinstance(cause.parent_node, DictConfig):
        root = OmegaConf.to_container(cause.parent_node._get_root(), resolve=False)
        known = {**dict.fromkeys(_choices()), **dict(root)}  # type: ignore[arg-type]  # the root is always a mapping
        key = str(cause.full_key)
        return words.unknown_key(key, known, _choices_with(key))
    if isinstance(error, OmegaConfBaseException):
        return words.unresolved(str(error))
    if not isinstance(error, HydraException):
        return words.no_choice(sys.argv[1:], _choices())
    return words.refused(str(error), str(cause or ""), sys.argv[1:])


def _choices() -> dict[str, list[str]]:
    """The configuration groups and the choices of each."""
    return {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in sorted(CONF.iterdir())}


def _choices_with(key: str) -> list[str]:
    """The choices of a group that have a setting: `format=bagel` of `format.prefix`."""
    group, _, name = key.partition(".")
    if key == "cluster":  # its settings are there with it alone
        return [f"+{group}={choice}" for choice in _choices()[group]]
    files = sorted((CONF / group).glob("*.yaml")) if name and group != "stage" else []
    return [f"{group}={file.stem}" for file in files if name in OmegaConf.load(file)]


def command() -> None:
    """What is typed: run it, and say in plain words what is wrong with it. Ends the process with its exit status."""
    full = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")  # it reports what killed jobs could not tidy up
    os.environ["REPERTOIRE_TRACEBACKS"] = "1" if full else "0"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors; else it prints them and ends the process
    try:
        answer_interrupts()
        _understood()
    except Stopped as stopped:
        print("Stopped. What is finished is kept, and the same command goes on from there.", file=sys.stderr)
        sys.exit(stopped.status)
    except Exception as error:  # shown in plain words
        message = _noted(error)
        if full:
            raise
        print(message, file=sys.stderr)
        sys.exit(1)


def _noted(error: Exception) -> str:
    """Why the command has failed, in plain words; a sweep keeps that in its folder."""
    from pipeline.campaign.failures import plain_message
    from pipeline.campaign.job import campaign_failed
    from pipeline.command import user_typed
    from pipeline.launchers.job_numbers import Refused

    with user_typed(_typed_at_first(sys.argv[1:])):
        message = plain_message(error)
        instead = error.instead if isinstance(error, Refused) else None
        campaign_failed(message, instead.words() if instead else ())
    return message


def _understood() -> None:
    from pipeline.campaign.secret_words import refuse_secrets
    from pipeline.command import user_typed
    from pipeline.launchers import register_launchers
    from pipeline.machine.folder_names import require_utf8_words
    from pipeline.machine.outlets import keep_secrets_out

    keep_secrets_out()
    words = sys.argv[1:]
    with user_typed(_typed_at_first(words)):  # a job knows its own words
        refuse_secrets(words)
        require_utf8_words(words)
        if any(word.startswith(("-", "+", "=")) for word in words):
            from pipeline.campaign.words import check_words, ordered

            sys.argv[1:] = ordered(words)
            check_words(words, _choices(), [*OmegaConf.load(CONF / "config.yaml")])
        with _plain_errors():
            register_launchers()
            main()


if __name__ == "__main__":
    command()
