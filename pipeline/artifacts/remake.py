"""The commands that make an artifact larger, or again, from the command that it was made by."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from pipeline.artifacts.artifact import ALL_TASKS, EPISODES, Artifact
from pipeline.artifacts.derived import SPLIT, STITCH, derived_by
from pipeline.artifacts.exported import EXPORT
from pipeline.command import COLLECT, INGEST, Command
from pipeline.storage.choice import storage_named


def larger(dataset: Artifact, episodes: int) -> Command:
    """The command that grows a dataset, with the policy, seed or source that it was made with."""
    settings = {"dataset": dataset.manifest.version, **_amount(dataset, episodes)}
    return Command(_door(dataset), dataset.task, f"domain={dataset.domain}", settings, dataset.manifest.command)


def remake(artifact: Artifact) -> str:
    """What removes a damaged artifact and makes it again: two commands for a shell, of which the first deletes."""
    return f"rm -r {shlex.quote(str(artifact.path))} && {_made_by(artifact).line()}"


def again_without(folder: Path) -> str:
    """What removes a damaged folder and runs the command that met it again."""
    return f"rm -r {shlex.quote(str(folder))} && {Command().line()}"


def verified(artifact: Artifact) -> Command:
    """The command that checks the files of an artifact's task."""
    return Command("verify", artifact.task, f"domain={artifact.domain}", recorded=artifact.manifest.command)


def audited(dataset: Artifact) -> Command:
    """The command that steps a dataset's episodes again with the simulator's settings that it was made with."""
    settings = {"stage.verify.audit": "replay"}
    return Command("verify", dataset.task, f"domain={dataset.domain}", settings, dataset.manifest.command)


def _made_by(artifact: Artifact) -> Command:
    manifest = artifact.manifest
    in_bin = artifact.path.name == manifest.version + storage_named("bin").suffix
    settings: dict[str, Any] = {"storage": "bin" if in_bin else None}
    if stage := derived_by(artifact):
        settings |= _derived_with(artifact, stage)
        return Command(stage, artifact.task, f"domain={artifact.domain}", settings, manifest.command)
    if manifest.kind == EPISODES:
        amount = _amount(artifact, sum(part.episodes for part in manifest.parts)) if manifest.parts else {}
        settings = {"dataset": manifest.version, **amount, **settings}
        return Command(_door(artifact), artifact.task, f"domain={artifact.domain}", settings, manifest.command)
    stage = "fetch" if manifest.kind == "bins" and not manifest.parents else manifest.kind
    if stage == EXPORT:
        settings |= dict.fromkeys(("format.out", "format.link"))  # what lies elsewhere is another's
    if datasets := [parent["version"] for parent in manifest.parents if parent["episodes"]]:
        settings["dataset"] = datasets[0]
    task = "" if artifact.task == ALL_TASKS else artifact.task  # the recorded command says which
    return Command(stage, task, f"domain={artifact.domain}", settings, manifest.command)


def _derived_with(dataset: Artifact, stage: str) -> dict[str, Any]:
    """The settings of the stage that derived a dataset, as its manifest keeps them."""
    own = dict(dataset.manifest.parameters[stage])
    of = own.pop("of")
    names, counts = [each["dataset"] for each in of], {each["episodes"] for each in of}
    settings: dict[str, Any] = {"dataset": dataset.manifest.version, "seed": None}
    settings["episodes"] = counts.pop() if len(counts) == 1 else None  # they may have grown since
    if stage == SPLIT:
        name = dataset.manifest.version.removesuffix(f"-{own.pop('part')}")
        settings["dataset"] = None if name == names[0] else name
    own |= {"datasets": names} if stage == STITCH else {"of": names[0]}
    return settings | {f"stage.{stage}.{key}": value for key, value in own.items()}


def _door(dataset: Artifact) -> str:
    return INGEST if "source" in dataset.manifest.parameters else COLLECT


def _amount(dataset: Artifact, episodes: int) -> dict[str, Any]:
    """The settings that ask for `episodes`, with the same budget of decisions for each as the dataset was made with."""
    budget = dataset.manifest.parameters.get("budget")
    return {"episodes": episodes, "states": None, "frames": budget * episodes if budget else None}
