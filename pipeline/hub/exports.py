"""Exports as they lie, in a dataset repository: their files, what is old there, and the card that tells of them.

A form of which all tasks are one dataset lies at the top of the repository, where its readers look for it; of any other
each export lies at the place that it has in `format.out`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.exported import DATA, LOST, lost_sentence, place_in
from pipeline.command import Command, Typed
from pipeline.dataset.rewards import return_words, reward_clipping
from pipeline.errors import InvalidInput
from pipeline.formats.exports import Export
from pipeline.hub.card import joined_card, split_card
from pipeline.hub.names import CARD
from pipeline.hub.repository import DatasetRepository, Snapshot
from pipeline.hub.upload import LARGEST, Change, Task, Upload
from pipeline.machine.files import files_below, human_bytes

SECTION = """## {title}

Episodes of {label} in the form of {form}, written by repertoire.

| | |
|---|---|
{rows}

{read}:

```
hf download {repo} --repo-type dataset --local-dir {name}{ingest}
```
"""

WITH_DOOR = "Read it with {form}'s own tools, or bring it into a store of repertoire, with all that it holds"
WITHOUT_DOOR = "Bring it to your machine"


BADGE = "https://huggingface.co/datasets/huggingface/badges/resolve/main/visualize-this-dataset-xl.svg"
VIEWER = f"[![Visualize this dataset]({BADGE})]({{address}})"
"""A picture that leads to the viewer of the form."""


@dataclass(frozen=True)
class ExportTask(Task):
    """The files of one export.

    Attributes:
        head: what of the card's YAML is the form's.
        section: what the card tells of it.
        folders: what lies there in the repository belongs to this export.
    """

    head: Mapping[str, Any] = field(default_factory=dict)
    section: str = ""
    folders: tuple[str, ...] = ()

    def stale(self, files: Iterable[str]) -> list[str]:
        wanted = {upload.path for upload in self.uploads}
        return [path for path in files if path.startswith(self.folders) and path not in wanted]


def export_task(export: Export, artifact: Artifact, repo: str) -> ExportTask:
    """The files of an export and their card. Raises InvalidInput for a file that the hub does not take."""
    place = place_in(artifact)
    top = place if export.format.joins and place.is_dir() else artifact.path / DATA
    files = list(files_below(place)) if place.is_dir() else [place]
    own = place / CARD if export.format.joins else None
    uploads = [Upload(path.relative_to(top).as_posix(), path) for path in files if path != own]
    for upload in uploads:
        if upload.size > LARGEST:
            raise InvalidInput(
                f"{upload.path} has {human_bytes(upload.size)}; a file on the hub has at most {human_bytes(LARGEST)}. "
                f"Take a form of several files, such as format=rlds."
            )
    folders = {f"{PurePosixPath(upload.path).parts[0]}/" for upload in uploads if "/" in upload.path}
    if top != place:
        folders = {f"{place.relative_to(top).as_posix()}/"} if place.is_dir() else set()
    if own and own.is_file():
        head, section = split_card(own.read_text())
    else:
        head, section = _configs(uploads), _section(export, artifact, repo)
    known = {"tags": ["offline-rl", export.format.name, artifact.domain], "task_categories": ["reinforcement-learning"]}
    name = f"{export.label.replace('/', '-')}-{export.format.name}"
    if export.format.viewer:
        section = f"{VIEWER.format(address=export.format.viewer.format(repo=repo))}\n\n{section}"
    states = int(artifact.manifest.counts["states"])
    return ExportTask(name, uploads, b"", states, known | head, section, tuple(sorted(folders)))


def _configs(uploads: Sequence[Upload]) -> dict[str, Any]:
    """What the head of a card says of parquet files, so that the hub shows the rows of each."""
    tables = [PurePosixPath(upload.path) for upload in uploads if upload.path.endswith(".parquet")]
    return {"configs": [{"config_name": path.stem, "data_files": str(path)} for path in tables]} if tables else {}


def export_card(
    repository: DatasetRepository, tasks: Sequence[Task], changes: Sequence[Change], snapshot: Snapshot | None
) -> bytes | None:
    """The card once the exports are there, or None where it stays as it is.

    Of a card that is there the head's other names, and the text outside the marks of these exports, stay.
    """
    present = repository.read(snapshot, CARD) if snapshot and CARD in snapshot.files else b""
    head, body = split_card(present.decode())
    for task in tasks:
        assert isinstance(task, ExportTask)
        head = {**head, **{key: _merged(key, head.get(key), value) for key, value in task.head.items()}}
        body = _with_section(body or f"# {repository.hub.repo}\n", task.name, task.section)
    card = joined_card(head, body).encode()
    return None if card == present else card


def _merged(key: str, there: Any, new: Any) -> Any:
    """What the head says: lists grow, a configuration is as the export says, any other word stays as it is there."""
    if key == "configs" and isinstance(there, list):
        names = [each["config_name"] for each in new]
        return [*(each for each in there if each.get("config_name") not in names), *new]
    if isinstance(there, list) and isinstance(new, list):
        return [*there, *(each for each in new if each not in there)]
    return new if there is None else there


def _with_section(body: str, name: str, section: str) -> str:
    begin, end = f"<!-- repertoire: begin {name} -->", f"<!-- repertoire: end {name} -->"
    before, found, rest = body.partition(begin)
    after = rest.partition(end)[2] if found else "\n"
    return f"{before if found else body.rstrip() + chr(10) * 2}{begin}\n{section.strip()}\n{end}{after}"


def _section(export: Export, artifact: Artifact, repo: str) -> str:
    tasks = ", ".join(each.task for each in export.data)
    name, form, task = repo.partition("/")[2], export.format.name, export.data[0].task
    path = f"{name}/{export.place}" if not export.format.joins else name
    ingest = ""
    if door := export.format.source(place_in(artifact)):
        settings = {"source": door.name, "source.path": path}
        ingest = "\n" + Command("ingest", task, f"domain={artifact.domain}", settings).line(Typed())
    return SECTION.format(
        title=f"{artifact.domain}: {tasks}",
        label=f"{artifact.domain} ({tasks})",
        form=form,
        rows="\n".join(f"| {name} | {text} |" for name, text in _facts(export, artifact).items() if text),
        repo=repo,
        name=name,
        read=(WITH_DOOR if door else WITHOUT_DOOR).format(form=form),
        ingest=ingest,
    )


def _facts(export: Export, artifact: Artifact) -> dict[str, str]:
    """What it is of, as a table says it."""
    manifest, made = artifact.manifest, export.data[0].provenance
    clipping = reward_clipping(made["parameters"])
    files = [name for name in manifest.files if name.startswith(f"{DATA}/")]
    datasets = dict.fromkeys(f"{each.name}, digest {each.provenance['digest'][:16]}" for each in export.data)
    return {
        "dataset": "; ".join(datasets),
        "episodes": f"{manifest.counts['episodes']:,}",
        "states": f"{manifest.counts['states']:,}",
        "made by": _maker(made["parameters"], made["versions"]),
        "rewards": return_words(clipping) if clipping else "",
        "lost on the way": lost_sentence(manifest.facts.get(LOST, [])) or "nothing",
        "files": f"{len(files):,}, {human_bytes(sum(int(manifest.files[name]['size']) for name in files))}",
        "command": f"`{made['command']}`" if made["command"] else "",
    }


def _maker(parameters: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """The policy and the simulator, or the source."""
    parts = []
    if source := parameters.get("source"):
        parts.append(f"source {source.get('source', '')}")
    if policy := parameters.get("policy"):
        parts.append(f"policy {policy.get('name', '')}")
    if environment := parameters.get("environment"):
        name = str(environment.get("simulator", ""))
        parts.append(f"simulator {name} {versions.get(name, environment.get('version', ''))}".rstrip())
    return ", ".join(parts)
