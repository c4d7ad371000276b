"""The one door: Hydra composes the configuration, the stages do the work. `python run.py --help`"""

import os
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.utils import instantiate
from omegaconf import DictConfig

os.environ.setdefault("REPERTOIRE_PROJECT", str(Path(__file__).resolve().parent))


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    """One job: the asked stages for the asked tasks and, where a policy has several checkpoints, for each of those."""
    from pipeline.campaign.run import run_stages
    from pipeline.machine.memory import keep_freed_memory

    keep_freed_memory()
    options = HydraConfig.get()
    asked = list(_stages(cfg))
    run_stages(
        asked,
        datasets=partial(_datasets, cfg),
        facts={name: _facts(cfg, name) for name in asked},
        ask=partial(_ask, cfg),
        domain=instantiate(cfg.get("domain"), _convert_="object"),
        task=instantiate(cfg.task, _convert_="object") if not isinstance(cfg.task, str) else cfg.task,
        workspace=instantiate(cfg.workspace),
        inputs=cfg.inputs,
        build_input=partial(_build_input, list(options.overrides.task)),
        folder=Path(options.runtime.output_dir),
    )


def _call(node: DictConfig) -> Any:
    """Build what a node describes, then call it here: called by Hydra, its errors would be wrapped."""
    return instantiate(node, _convert_="object", _partial_=True)()


def _run_stage(cfg: DictConfig, stage: str, **asked: str | None) -> Any:
    """Call a stage as configured; `task=` puts one task, or none, in the place of those that were asked for."""
    own = deepcopy(cfg)
    if asked:
        own.task = asked["task"]
    return _call(own.stage[stage])


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


def _facts(cfg: DictConfig, stage: str) -> Any:
    """What the stage's module declares about it, a StageFacts."""
    return import_module(cfg.stage[stage]._target_.rpartition(".")[0]).FACTS


def _ask(cfg: DictConfig, stage: str, question: Callable[..., Any], task: str | None = None) -> Any:
    """Call a function that a stage declares with those of the stage's settings that it takes, as one task has them."""
    own = deepcopy(cfg)
    own.task = task
    settings = instantiate(own.stage[stage], _convert_="object", _partial_=True).keywords
    return question(**{name: settings[name] for name in signature(question).parameters})


def _datasets(cfg: DictConfig) -> dict[str, dict[str, Callable[..., Any]]]:
    """The asked stages by the name of the dataset that they make or read: one for each checkpoint of a policy."""
    from pipeline.errors import InvalidInput

    checkpoints = [] if _source() or "each" not in cfg.policy else _call(cfg.policy.each)
    if not checkpoints:
        door = (_source() or HydraConfig.get().runtime.choices["policy"]).replace("_", "-")
        cfg.dataset = cfg.dataset or f"{door}-v1"
        return {cfg.dataset: _calls(cfg)}
    named = {f"{each.name}-v1": each for each in checkpoints}
    if cfg.dataset and len(named) == 1:
        named = {cfg.dataset: next(iter(named.values()))}
    elif cfg.dataset and cfg.dataset not in named:
        raise InvalidInput(f"dataset={cfg.dataset} names one dataset, the checkpoints make {', '.join(named)}.")
    elif cfg.dataset:
        named = {cfg.dataset: named[cfg.dataset]}
    if len(named) > 1 and "publish" in _stages(cfg):
        raise InvalidInput(f"A repository holds one dataset of a task. Choose dataset=NAME: {', '.join(named)}")
    found = {}
    for name, each in named.items():
        own = deepcopy(cfg)
        own.dataset, own.policy.file = name, str(each.file)
        found[name] = _calls(own)
    return found


def _calls(cfg: DictConfig) -> dict[str, Callable[..., Any]]:
    return {name: partial(_run_stage, cfg, name) for name in _stages(cfg)}


def _build_input(overrides: list[str], stage: str, task: str, extra: tuple[str, ...]) -> None:
    """Compose the configuration of a missing input's stage from this command's own overrides, and run it."""
    replaced = {"stage", "task", "inputs", *(word.split("=")[0] for word in extra)}
    kept = [word for word in overrides if word.split("=")[0] not in replaced]
    cfg = hydra.compose("config", [*kept, f"stage={stage}", f"task={task}", *extra])
    for stages in _datasets(cfg).values():
        for call in stages.values():
            call(task=task)


class Failures(Callback):
    """Shows every failure of a run or sweep as a table and sets the exit status."""

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._end(config.hydra.run.dir)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._end(config.hydra.sweep.dir)

    def _end(self, folder: str) -> None:
        from pipeline.campaign.failures import print_failures

        if print_failures(Path(folder)):
            sys.exit(1)


if __name__ == "__main__":
    main()
