"""An export becomes a checkpoint of an experiment in a tree that RLHF-Blender's server runs in."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Self

from PIL import Image

from pipeline.artifacts.whole import Files
from pipeline.command import again
from pipeline.digest import digest_file
from pipeline.errors import InvalidInput
from pipeline.formats.blender.entries import (
    enter_checkpoint,
    enter_environment,
    enter_experiment,
    enter_project,
    experiment_name,
    free_experiment,
    require_same,
)
from pipeline.formats.blender.places import CheckpointPlace
from pipeline.formats.blender.points import are_written, write_points
from pipeline.formats.blender.registration import Projection, Registration, TreeLayout
from pipeline.formats.blender.registry import EXPERIMENTS, Row, changing_registry, reading_registry
from pipeline.formats.laying import LOCAL, LocalOut, copy_or_link, folder_made
from pipeline.formats.places import OUT, Out, another_place
from pipeline.machine.files import read_json, sync_tree
from pipeline.machine.lease import held
from pipeline.sources.rlhf_blender.names import DATA, EXPERIMENT, PROVENANCE
from pipeline.wording import few

LEASE = ".repertoire.lease"
PARTIAL = ".repertoire.partial"
"""What is not laid yet; removed by whoever comes next."""

SAME = (("digest",), ("dataset", "parameters"))
"""Any of these facts of two exports says that they are of the same episodes, be there more of them in one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BlenderOut(Out):
    """A tree that may hold other experiments, and other checkpoints of this one.

    Attributes:
        asked: `format.out` as it was typed.
        root: the tree.
        facts: what is known of the dataset before there is an export: `environment.id`, `checkpoint`, `framework`,
            and the dataset's `provenance`.
        registration: the user's settings.
        place: the folder of the export below its data.
        link: give the store's files a second name instead of copying them.
    """

    asked: str
    root: Path
    facts: Mapping[str, Any]
    registration: Registration
    place: PurePosixPath = field(default=PurePosixPath("."))
    link: bool = False

    def __str__(self) -> str:
        return f"{self.root} (experiment {self.experiment}, checkpoint {self.checkpoint})"

    @property
    def env_id(self) -> str:
        return str(self.facts["environment"]["id"])

    @property
    def checkpoint(self) -> str:
        return str(self.facts["checkpoint"])

    @cached_property
    def experiment(self) -> str:
        return experiment_name(self.registration, self.env_id, str(self.facts["framework"]))

    def require_possible(self, store: Path) -> None:
        require_tree(self.asked, self.root, store)
        self._at(0).folders  # noqa: B018  # raises for an id that is no folder's name

    def with_signposts(self, signposts: Mapping[str, bytes]) -> Self:
        """The same place: a tree has its registry."""
        assert not signposts
        return self

    def is_free(self, files: Files | None) -> bool:
        """See `Out`. Files of this very export that a killed run left are no reason to refuse; nor are fewer episodes
        of it, to which the others are added.
        """
        with reading_registry(self.root) as registry:
            row = registry.find(EXPERIMENTS, exp_name=self.experiment) if registry else None
        if row is None:
            return True
        require_same(row, self.experiment, self.facts["environment"])
        place = self._at(row.id)
        if files is None:
            self._require_same_dataset(place)
            return True
        is_whole = self._is_whole(place, files)
        return not (is_whole and self.checkpoint in row.listed("checkpoint_list") and self._has_points(row))

    def lay(self, data: Path, files: Files, label: str) -> bool:
        """See `Out`. Files are written under a hidden name, then moved to where they belong, and at last the checkpoint
        is named in the registry, from which on it is seen. After a kill the same command goes on.
        """
        with changing_tree(self.root) as check:
            if not self.is_free(files):
                return False
            partial = self.root / PARTIAL
            shutil.rmtree(partial, ignore_errors=True)
            facts = read_json(data / self.place / EXPERIMENT)
            try:
                self._stage(data, files, partial)
                check()
                with changing_registry(self.root) as registry:
                    is_new = registry.find(EXPERIMENTS, exp_name=self.experiment) is None
                    number = enter_experiment(registry, self.experiment, facts, self.registration)
                    enter_environment(registry, facts["environment"], self.registration)
                    enter_project(registry, self.env_id, self.experiment, self.registration)
                    if is_new:  # a registry that was lost may have given these names before
                        self._is_whole(self._at(number), files)
                self._move(partial, self._at(number), files)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            with changing_registry(self.root) as registry:
                enter_checkpoint(registry, number, self.checkpoint)
                self._tell_of_same(self._checkpoints(registry.numbered(EXPERIMENTS, number)))
            self._write_points(number)
        return True

    def _tell_of_same(self, places: list[CheckpointPlace]) -> None:
        """Say which other checkpoints hold the same episodes: nothing new is shown under another number."""
        same = [place.checkpoint for place in places if place.checkpoint != self.checkpoint and self._holds_same(place)]
        if same:
            log.warning(
                "export: checkpoint %s of the experiment %s has the same episodes as checkpoint %s. Others are of "
                "another dataset: dataset=NAME seed=NUMBER",
                self.checkpoint,
                self.experiment,
                few(same),
            )

    def _holds_same(self, place: CheckpointPlace) -> bool:
        file = self.root / place.folder(PROVENANCE) / EXPERIMENT
        theirs, ours = (read_json(file)["provenance"] if file.is_file() else {}), self.facts["provenance"]
        return any(theirs and all(theirs.get(key) == ours[key] for key in keys) for keys in SAME)

    def _at(self, number: int) -> CheckpointPlace:
        return CheckpointPlace(
            TreeLayout(self.registration.layout), self.env_id, self.experiment, number, self.checkpoint
        )

    def _there(self, place: CheckpointPlace) -> list[PurePosixPath]:
        """The files of a checkpoint that lie in the tree."""
        folders = [self.root / folder for folder in place.folders]
        return [
            PurePosixPath(file.relative_to(self.root).as_posix())
            for folder in folders
            if folder.is_dir()
            for file in sorted(folder.rglob("*"))
            if not file.is_dir()
        ]

    def _is_whole(self, place: CheckpointPlace, files: Files) -> bool:
        """Whether all files of an export lie in the tree. Raises InvalidInput for others in their folders, unless those
        are to be replaced.
        """
        wanted = {file.path: file.digest for file in place.files(files, self.place)}
        converted = {path for path, digest in wanted.items() if digest is None}
        there = {path: None if path in converted else digest_file(self.root / path) for path in self._there(place)}
        origin = place.folder(PROVENANCE) / EXPERIMENT  # of fewer episodes it says something else
        others = [
            str(path)
            for path, digest in there.items()
            if path != origin and (path not in wanted or wanted[path] != digest)
        ]
        if others and not self.registration.replace:
            raise self._other_data(f"{few(others, 2)} {'is' if len(others) == 1 else 'are'} not of this export")
        return wanted == there

    def _require_same_dataset(self, place: CheckpointPlace) -> None:
        """Raises InvalidInput where what lies there says that it was made of another dataset."""
        file = self.root / place.folder(PROVENANCE) / EXPERIMENT
        if self.registration.replace or not file.is_file():
            return
        theirs = read_json(file)["provenance"]
        ours = self.facts["provenance"]
        grown = theirs["dataset"] == ours["dataset"] and theirs["parameters"] == ours["parameters"]
        if not (grown and theirs["episodes"] <= ours["episodes"]):
            raise self._other_data(f"they are of {theirs['dataset']}, {theirs['episodes']} episodes")

    def _other_data(self, what: str) -> InvalidInput:
        with reading_registry(self.root) as registry:
            row = registry.find(EXPERIMENTS, exp_name=self.experiment) if registry else None
        known = [int(each) for each in row.listed("checkpoint_list") if each.isdecimal()] if row else []
        number, name = max(known, default=-1) + 1, free_experiment(self.root, self.experiment)
        return InvalidInput(
            f"{OUT}: {self.root} has other data of the checkpoint {self.checkpoint} of the experiment "
            f"{self.experiment}: {what}. Nothing is written over it.\n"
            f"Lay these as another checkpoint: {again(format__checkpoint=number)}\n"
            f"Or as another experiment: {again(format__experiment=name)}\n"
            f"Or put them in its place: {again(format__replace=True)}"
        )

    def _stage(self, data: Path, files: Files, partial: Path) -> None:
        """Write all files under names of no experiment."""
        for number, file in enumerate(self._at(0).files(files, self.place)):
            copy = partial / str(number)
            copy.parent.mkdir(parents=True, exist_ok=True)
            source = data / file.source
            if file.is_converted:
                with Image.open(source) as picture:
                    picture.save(copy, "PNG")
            else:
                copy_or_link(source, copy, self.link)
        sync_tree(partial)

    def _move(self, partial: Path, place: CheckpointPlace, files: Files) -> None:
        """Give staged files their names. What is in their way was looked at before."""
        planned = place.files(files, self.place)
        wanted = {file.path for file in planned}
        (self.root / place.projection).unlink(missing_ok=True)  # it is of fewer rows, or of others
        for path in self._there(place):
            if path not in wanted:
                (self.root / path).unlink()
        for number, file in enumerate(planned):
            target = self.root / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(partial / str(number), target)
        sync_tree(self.root / DATA)

    def _checkpoints(self, row: Row) -> list[CheckpointPlace]:
        """The checkpoints of the experiment that have episodes here."""
        layout = TreeLayout(self.registration.layout)
        places = [
            CheckpointPlace(layout, self.env_id, self.experiment, row.id, each)
            for each in row.listed("checkpoint_list")
        ]
        return [place for place in places if (self.root / place.folder("episodes")).is_dir()]

    def _has_points(self, row: Row) -> bool:
        if self.registration.projection == Projection.NONE:
            return True
        return are_written(self.root, self._checkpoints(row), self.registration.clusters)

    def _write_points(self, number: int) -> None:
        if self.registration.projection == Projection.NONE:
            return
        with reading_registry(self.root) as registry:
            assert registry is not None
            row = registry.numbered(EXPERIMENTS, number)
        write_points(self.root, self._checkpoints(row), self.registration.clusters)


@contextmanager
def changing_tree(root: Path) -> Iterator[Callable[[], None]]:
    """A tree, made where there is none, in which nobody else writes; see `pipeline.machine.lease.held`."""
    with folder_made(root), held(root / LEASE, f"writing in {root}") as check:
        yield check


def blender_out(
    asked: str, facts: Mapping[str, Any], registration: Registration, place: PurePosixPath, link: bool
) -> BlenderOut:
    """The tree that `format.out` names. Raises InvalidInput for an address."""
    return BlenderOut(asked, tree_root(asked), facts, registration, place, link)


def require_tree(asked: str, root: Path, store: Path) -> None:
    """Raises InvalidInput where no tree can be: inside of the store, or where a file is."""
    LocalOut(asked, root, PurePosixPath(".")).require_possible(store)
    if root.exists() and not root.is_dir():
        raise InvalidInput(
            f"{OUT}: {root} is a file; a tree of RLHF-Blender is a folder. Choose another place: "
            f"{again(format__out=another_place(asked))}"
        )


def tree_root(asked: str) -> Path:
    """The folder that `format.out` names. Raises InvalidInput for an address."""
    if "://" in asked and not asked.startswith(LOCAL):
        raise InvalidInput(
            f"{OUT}={asked} is an address. A tree of RLHF-Blender has a registry, a SQLite file that is changed in its "
            f"place, which nobody can do there. Lay it on this machine, then copy it:\n"
            f"{again(format__out='blender')}"
        )
    return Path(asked.removeprefix(LOCAL)).expanduser().absolute()
