"""The one door: Hydra composes the configuration, the stages do the work. `python run.py --help`"""

import os
import sys
from functools import partial
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
    """One job: the asked stages for the asked tasks."""
    from stages.campaign import run_stages

    stages, options = _stages(cfg), HydraConfig.get()
    run_stages(
        stages={name: partial(_call, node) for name, node in stages.items()},
        per_task=[name for name, node in stages.items() if "task" in node],
        domain=instantiate(cfg.get("domain"), _convert_="object"),
        task=instantiate(cfg.task, _convert_="object") if not isinstance(cfg.task, str) else cfg.task,
        dataset=cfg.dataset,
        workspace=instantiate(cfg.workspace),
        inputs=cfg.inputs,
        build_input=partial(_build_input, list(options.overrides.task)),
        folder=Path(options.runtime.output_dir),
    )


def _call(node: DictConfig, **more: Any) -> Any:
    """Build a stage's parts, then call it here: called by Hydra, its errors would be wrapped."""
    return instantiate(node, _convert_="object", _partial_=True)(**more)


def _stages(cfg: DictConfig) -> dict[str, Any]:
    """The asked stages. Of the two doors to episodes only the one that fits; the dataset gets its default name."""
    choices = HydraConfig.get().runtime.choices
    source = choices.get("source")
    cfg.dataset = cfg.dataset or f"{source or choices['policy']}-v1"
    asked = cfg.get("stage") or {}
    closed = "collect" if source else "ingest"
    both = {"collect", "ingest"} <= set(asked)
    return {name: node for name, node in asked.items() if not (both and name == closed)}


def _build_input(overrides: list[str], stage: str, task: str, extra: tuple[str, ...]) -> None:
    """Compose the configuration of a missing input's stage from this command's own overrides, and run it."""
    replaced = {"stage", "task", "inputs", *(word.split("=")[0] for word in extra)}
    kept = [word for word in overrides if word.split("=")[0] not in replaced]
    cfg = hydra.compose("config", [*kept, f"stage={stage}", f"task={task}", *extra])
    for node in _stages(cfg).values():
        _call(node, task=task)


class Failures(Callback):
    """Shows every failure of a run or sweep as a table and sets the exit status."""

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._end(config.hydra.run.dir)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._end(config.hydra.sweep.dir)

    def _end(self, folder: str) -> None:
        from stages.campaign import print_failures

        if print_failures(Path(folder)):
            sys.exit(1)


if __name__ == "__main__":
    main()
