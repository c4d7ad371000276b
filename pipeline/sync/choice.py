"""Which artifacts are copied: those of some tasks, or the named ones, with what they were made from, parents first."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence

from pipeline.artifacts.artifact import ALL_TASKS, Artifact, Parent
from pipeline.artifacts.exported import EXPORT, tasks_in
from pipeline.errors import UnknownName, unknown_name
from pipeline.storage.choice import without_suffix
from pipeline.sync.end import place_of

log = logging.getLogger(__name__)


class Lineage:
    """The artifacts of a store, and which of them were made from which."""

    def __init__(self, artifacts: Sequence[Artifact]) -> None:
        self.artifacts = artifacts
        self._there: dict[tuple[str, str, str], list[Artifact]] = defaultdict(list)
        for each in artifacts:
            self._there[each.domain, each.manifest.kind, each.manifest.version].append(each)

    def parents(self, artifact: Artifact) -> list[Artifact]:
        """Those of its parents that are there, each in the storage of the artifact itself where it is there twice."""
        return [each for parent in artifact.parents for each in self._places(artifact, parent)]

    def gone(self, artifact: Artifact) -> list[str]:
        """`episodes/scripted-v1`: those of its parents that are not there."""
        return [f"{each.kind}/{each.version}" for each in artifact.parents if not self._places(artifact, each)]

    def _places(self, child: Artifact, parent: Parent) -> list[Artifact]:
        """A parent in its task; of what spans tasks in all of them, for a manifest names no task of a parent."""
        tasks = None if child.task == ALL_TASKS else [child.task]
        if child.task == ALL_TASKS and child.manifest.kind == EXPORT:
            tasks = tasks_in(child)
        ending = child.path.name.removeprefix(without_suffix(child.path.name))
        found: dict[str, Artifact] = {}
        for each in self._there[child.domain, parent.kind, parent.version]:
            if tasks is None or each.task in tasks:
                own = each.path.name == parent.version + ending
                found[each.task] = each if own else found.get(each.task, each)
        return list(found.values())


def artifacts_to_copy(
    lineage: Lineage, tasks: Sequence[str] | None, names: Sequence[str] | None, with_parents: bool
) -> list[Artifact]:
    """The artifacts of some tasks, all where None, that have one of the names, each after its parents.

    A name is a kind, `bins`, or a kind and a version, `episodes/scripted-v1`. Raises UnknownName for one that none has.
    """
    own = [each for each in lineage.artifacts if tasks is None or each.task in tasks]
    for name in names or ():
        if not any(_is_named(each, name) for each in own):
            raise _unknown(name, own)
    if names is not None:
        own = [each for each in own if any(_is_named(each, name) for name in names)]
    return list(_in_order(own, lineage, with_parents))


def _is_named(artifact: Artifact, name: str) -> bool:
    kind, _, version = name.partition("/")
    return artifact.manifest.kind == kind and version in ("", artifact.manifest.version, artifact.path.name)


def _unknown(name: str, artifacts: Sequence[Artifact]) -> UnknownName:
    known = {f"{each.manifest.kind}/{each.manifest.version}" for each in artifacts}
    return unknown_name(
        "artifact", name, {each.partition("/")[0] for each in known} | (known if "/" in name else set())
    )


def _in_order(own: Sequence[Artifact], lineage: Lineage, with_parents: bool) -> Iterator[Artifact]:
    wanted, done = {place_of(each) for each in own}, set[str]()

    def visit(artifact: Artifact) -> Iterator[Artifact]:
        if (place := place_of(artifact)) in done:
            return
        done.add(place)
        for parent in lineage.parents(artifact):
            if with_parents or place_of(parent) in wanted:
                yield from visit(parent)
        yield artifact

    for each in own:
        yield from visit(each)
