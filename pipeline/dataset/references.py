"""Making a dataset that refers to the episodes of others: no episode is copied, and none can change unseen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from pipeline.artifacts.artifact import EPISODES, Artifact, Manifest, Spec
from pipeline.artifacts.claim import IDENTITY, DraftFolder, claim
from pipeline.artifacts.derived import DERIVED_BY, REFERENCES
from pipeline.artifacts.store import ArtifactStore, same_content
from pipeline.dataset.columns import RowSpec
from pipeline.dataset.grow import same_settings
from pipeline.dataset.indexing import keep_index
from pipeline.dataset.prefix import episodes_parent
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.shares import DIGEST, NUMBER, OWNER
from pipeline.dataset.summary import PartSummary, described
from pipeline.episode import INFO, PRESENT
from pipeline.errors import InvalidInput
from pipeline.machine.files import file_table, sync_tree
from pipeline.machine.provenance import Stopwatch
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import write_arrays

DERIVED_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class References:
    """Which episodes a derived dataset has, in its order.

    Attributes:
        owners: of each, which of the datasets it is derived from has it.
        numbers: its number there.
    """

    owners: Int64[np.ndarray, " n"]
    numbers: Int64[np.ndarray, " n"]

    @staticmethod
    def of_one(numbers: Int64[np.ndarray, " n"]) -> References:
        """Episodes of a single dataset."""
        return References(np.zeros(len(numbers), np.int64), numbers)

    @staticmethod
    def all_of(datasets: Sequence[EpisodeDataset]) -> References:
        """All episodes of several datasets, one after the other."""
        counts = [len(dataset) for dataset in datasets]
        return References(
            np.repeat(np.arange(len(counts)), counts), np.concatenate([np.arange(count) for count in counts])
        )


def derived_spec(name: str, stage: str, settings: Mapping[str, Any], datasets: Sequence[EpisodeDataset]) -> Spec:
    """The identity of a dataset that `stage` derives, with its settings, from others of one task.

    Its parameters hold what those agree on (simulator, policy, source), and under the stage's name its settings and
    the datasets with the digests of their content. How those were derived themselves, their own manifests say.
    """
    artifacts = [_artifact(dataset) for dataset in datasets]
    of = [
        {"dataset": each.manifest.version, "episodes": len(dataset), "digest": dataset.digest()}
        for each, dataset in zip(artifacts, datasets, strict=True)
    ]
    shared = _shared([each.manifest.parameters for each in artifacts])
    shared = {key: value for key, value in shared.items() if key not in DERIVED_BY}
    parents = tuple(
        episodes_parent(each, dataset, len(dataset)) for each, dataset in zip(artifacts, datasets, strict=True)
    )
    parameters = {**shared, stage: {**settings, "of": of}}
    return Spec(artifacts[0].domain, artifacts[0].task, EPISODES, DERIVED_FORMAT, parameters, parents, name)


def derive(
    store: ArtifactStore,
    spec: Spec,
    datasets: Sequence[EpisodeDataset],
    references: References,
    force: bool = False,
    ending: str = "",
) -> Artifact:
    """The derived dataset of `spec`: found, or made of the episodes that are referred to.

    With `force` it is made again and its digest compared. `ending` is the end of its name that its stage gives to the
    dataset that a command names. Raises IdentityMismatch where the name stands for other
    settings, InvalidInput where nothing is referred to, or where the datasets have other arrays.
    """
    if not len(references.numbers):
        raise InvalidInput(f"{spec.version} of {spec.label} would have no episode; nothing was written.")
    same_settings(store, spec, ending)
    if not force and (found := store.get(spec)):
        found.require_whole()
        return found
    require_same_arrays(datasets)
    stopwatch = Stopwatch()
    with claim(store.folder(spec), spec.fingerprint) as draft:
        existing = store.get(spec)
        if existing and not force:  # another process has made it while we waited
            draft.discard()
            return existing
        manifest = _written(store, spec, datasets, references, draft, stopwatch)
        if existing:
            draft.discard()
            return same_content(existing, manifest.digest)
        draft.commit()
        (draft.final / IDENTITY).unlink(missing_ok=True)
        keep_index(Artifact(draft.final, manifest))
    return Artifact(draft.final, manifest, built=True)


def require_same_arrays(datasets: Sequence[EpisodeDataset]) -> None:
    """Raises InvalidInput where datasets do not have the same arrays: infos alone may be in some of them only."""
    first, *others = datasets
    for other in others:
        ours, theirs = first.rows(), other.rows()
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) == theirs.get(name) or _may_lack(name, ours, theirs):
                continue
            raise InvalidInput(
                f"{first.name} and {other.name} have other arrays: {name} is {_words(ours.get(name))} in the first, "
                f"{_words(theirs.get(name))} in the second. A dataset that refers to the episodes of others cannot "
                f"change them."
            )


def _may_lack(name: str, ours: Mapping[str, RowSpec], theirs: Mapping[str, RowSpec]) -> bool:
    return name.startswith((INFO, PRESENT)) and (name not in ours or name not in theirs)


def _words(row: RowSpec | None) -> str:
    return "missing" if row is None else str(row)


def _written(
    store: ArtifactStore,
    spec: Spec,
    datasets: Sequence[EpisodeDataset],
    references: References,
    draft: DraftFolder,
    stopwatch: Stopwatch,
) -> Manifest:
    """Write the references and the manifest into the draft."""
    folder = draft.path / REFERENCES
    summary = summary_of_chosen(datasets, references)
    write_arrays(store.storage, folder, {OWNER: references.owners, NUMBER: references.numbers, DIGEST: summary.digests})
    for parent in spec.parents:
        parent.require_whole()
    sync_tree(folder)
    manifest = Manifest(
        kind=spec.kind,
        task=spec.label,
        version=spec.version,
        fingerprint=spec.fingerprint,
        format=spec.format,
        parents=[parent.as_json() for parent in spec.parents],
        parameters=dict(spec.parameters),
        files=file_table(folder, draft.path),
        **described([summary]),
        **stopwatch.record(),
    )
    manifest.write(draft.path)
    sync_tree(draft.path)
    return manifest


def summary_of_chosen(datasets: Sequence[EpisodeDataset], references: References) -> PartSummary:
    """What the manifest of a derived dataset says of its episodes; opens no step array.

    Its step arrays are those of the datasets, as their manifests list them: an info may be in none of its episodes.
    """
    places = np.cumsum([0, *(len(dataset) for dataset in datasets)])[references.owners] + references.numbers

    def chosen(read: Callable[[EpisodeDataset], Shaped[np.ndarray, "episodes ..."]]) -> Shaped[np.ndarray, "n ..."]:
        return np.concatenate([read(dataset) for dataset in datasets])[places]

    steps: dict[str, RowSpec] = {}
    for each in (entry for dataset in datasets for entry in _artifact(dataset).manifest.arrays):
        steps.setdefault(each["name"], RowSpec(np.dtype(each["dtype"]), tuple(each["shape"][1:])))
    return PartSummary(
        returns=chosen(lambda dataset: dataset.per_episode("return")),
        success=chosen(lambda dataset: dataset.per_episode("success")),
        digests=chosen(lambda dataset: dataset.per_episode(DIGEST)),
        gave_up=int(chosen(_gave_up).sum()),
        stuck=None,
        rows=int(chosen(lambda dataset: dataset.lengths + 1).sum()),
        steps=steps,
    )


def _gave_up(dataset: EpisodeDataset) -> Bool[np.ndarray, " n"]:
    """Which episodes the policy gave up; the texts are read only where the manifest counts some."""
    if not _artifact(dataset).manifest.counts.get("gave_up"):
        return np.zeros(len(dataset), np.bool_)
    return np.array(dataset.texts("end_reason")) == "gave_up"


def references_of(artifact: Artifact) -> References:
    """Those of a derived dataset."""
    arrays = open_arrays(artifact.path / REFERENCES)
    return References(arrays[OWNER][:], arrays[NUMBER][:])


def _artifact(dataset: EpisodeDataset) -> Artifact:
    """Where a dataset of a workspace is from."""
    if dataset.artifact is None:
        raise InvalidInput(f"{dataset.name} was opened without a manifest: nothing can refer to its episodes.")
    return dataset.artifact


def _shared(all_parameters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all parameters have in common, mappings looked into."""
    first, *others = all_parameters
    shared: dict[str, Any] = {}
    for key, value in first.items():
        values = [value, *(each.get(key) for each in others)]
        if all(each == value for each in values):  # an empty mapping, too: it says that there was nothing
            shared[key] = value
        elif all(isinstance(each, Mapping) for each in values) and (common := _shared(values)):
            shared[key] = common
    return shared
