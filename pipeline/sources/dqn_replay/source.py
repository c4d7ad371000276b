"""The DQN Replay Dataset (google-research/batch_rl): what a DQN agent did in 60 Atari games, as whole episodes."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Generator, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from pipeline.artifacts.pieces import shards_word
from pipeline.command import again
from pipeline.dataset.amount import Amount, Size
from pipeline.dataset.bulk import StoredPart
from pipeline.domains.atari import minimal_actions
from pipeline.errors import InvalidInput
from pipeline.machine.files import human_bytes
from pipeline.machine.progress import progress
from pipeline.sources.contract import BulkSource, PieceNumbers
from pipeline.sources.dqn_replay.bucket import NEEDED, Bucket
from pipeline.sources.dqn_replay.games import GAMES, bucket_name, check_domain
from pipeline.sources.dqn_replay.job import Job
from pipeline.sources.dqn_replay.limits import OVERFLOWS, STOP, Limits
from pipeline.sources.dqn_replay.part import ROW_BYTES
from pipeline.sources.dqn_replay.plan import as_upstream, plan
from pipeline.sources.dqn_replay.reading import (
    DROPPED_ROWS,
    Need,
    Reading,
    checkpoints_needed,
    jobs_for,
    make_checkpoints,
    make_parts,
    needs,
    not_made,
)
from pipeline.sources.dqn_replay.run import Run
from pipeline.sources.dqn_replay.selection import QUALITIES, chronological_numbers, upstream_numbers
from pipeline.sources.quirks import Quirk
from pipeline.storage.contract import Storage
from pipeline.wording import check_choice, check_count, number_ranges

log = logging.getLogger(__name__)

CLIPPING = (-1.0, 1.0)
"""The logging agent clipped rewards before it stored them; the game's own are lost."""

STACK = {"frames": 4, "stored": "frames", "padding": "zeros"}
"""What the agent saw: the last four frames, black ones before an episode's first."""

CHRONOLOGICAL, UPSTREAM = SELECTIONS = ("chronological", "upstream")
CLEAN = "clean"
STITCH, DROP, KEEP = EDGES = ("stitch", "drop", "keep")
AHEAD = 4
"""Checkpoints whose small files are fetched together, where a limit may make the later ones needless."""


class DqnReplaySource(BulkSource):
    """Logged episodes of one game and run, from the public bucket, a mirror of it, or the cache of d4rl-atari.

    Args:
        root: gs://BUCKET/FOLDER or any fsspec URL, or a folder.
        run: which of the five independent trainings, 1 to 5.
        quality: which checkpoints, where `num_slices` leaves some out: `random` the earliest, `expert` the latest,
            newest first, `mixed` a draw.
        num_slices: how many checkpoints; None: all.
        selection: `chronological` counts the checkpoints that are there; `upstream` asks for the files that LRAM reads.
        rows: `clean` strips padding and cuts the last checkpoint where its new rows end; `upstream` takes all rows of
            each checkpoint as LRAM does. None: as `selection`.
        edges: what lies in two checkpoints: `stitch` joins it where they follow each other and drops it elsewhere,
            `drop` drops all of it, `keep` stores the fragments as such.
        max_episodes, max_transitions, overflow: exact limits on what is stored; see `limits.py`.
        seed: of the draw of `mixed`; `selection=upstream` always draws as LRAM does.
        download_only: bring the files here and make no dataset.
        cache: folder for downloads.
    """

    name = "dqn_replay"
    pieces = "checkpoints"

    def __init__(
        self,
        root: str = "gs://atari-replay-datasets/dqn",
        run: int = 1,
        quality: str = "mixed",
        num_slices: int | None = None,
        selection: str = CHRONOLOGICAL,
        rows: str | None = None,
        edges: str = STITCH,
        max_episodes: int | None = None,
        max_transitions: int | None = None,
        overflow: str = STOP,
        seed: int = 0,
        download_only: bool = False,
        cache: str | None = None,
    ) -> None:
        check_choice("source.quality", quality, QUALITIES)
        check_choice("source.selection", selection, SELECTIONS)
        check_choice("source.rows", rows or CLEAN, (CLEAN, UPSTREAM))
        check_choice("source.edges", edges, EDGES)
        check_choice("source.overflow", overflow, OVERFLOWS)
        if num_slices is not None:
            check_count("source.num_slices", num_slices)
        if run not in range(1, 6):
            raise InvalidInput(f"source.run={run} is none of the five trainings of each game; use 1, 2, 3, 4 or 5.")
        self.run, self.quality, self.num_slices, self.selection = run, quality, num_slices, selection
        self.rows = rows or (UPSTREAM if selection == UPSTREAM else CLEAN)
        self.edges, self.seed = edges, seed
        self.limits = Limits(max_episodes, max_transitions, overflow)
        self.download_only = download_only
        self._bucket = Bucket(root, cache)
        self._runs: dict[str, Run] = {}

    def tasks(self, domain: str) -> list[str]:
        """The games that were logged."""
        check_domain(domain)
        return list(GAMES)

    def identity(self, domain: str, task: str) -> dict[str, Any]:
        """Which data this is; lists the files, and reads none."""
        run = self._run(domain, task)
        fields = run.listing.checkpoints
        facts: dict[str, Any] = {
            "source": self.name,
            "game": run.listing.game,
            "run": self.run,
            "checkpoints": [[number, fields[number]["observation"].size] for number in run.chosen],
            "counters": all("add_count" in fields[number] for number in run.chosen),
            "rows": self.rows,
            "actions": list(run.actions),
            "reward_clipping": list(CLIPPING),
            "frame_stack": STACK,
        }
        if self.rows == CLEAN:
            facts["edges"] = self.edges
        if self.limits.episodes is not None:
            facts["max_episodes"] = self.limits.episodes
        if self.limits.transitions is not None:
            facts |= {"max_transitions": self.limits.transitions, "overflow": self.limits.overflow}
        return facts

    def download(self, domain: str, task: str) -> None:
        """Bring all files of the chosen checkpoints here."""
        run = self._run(domain, task)
        frames = [file for number in run.chosen for file in run.files(number, frames=True)]
        self._bucket.fetch([*run.small_files(run.chosen), *frames], run.label)

    def parts(
        self, domain: str, task: str, scratch: Path, storage: Storage, start: Size, wanted: Amount, workers: int
    ) -> Generator[StoredPart, None, None]:
        """As of `BulkSource`. Only the checkpoints that the limits can need are fetched and read."""
        run = self._run(domain, task)
        reading, found = self._prepare(run, start, wanted)
        if not found:
            return
        jobs = jobs_for(reading, found)
        self._get_ready(run, not_made(jobs, scratch), scratch, storage)
        stored, dropped = start.episodes, 0
        with progress("ingest", f"{domain}/{task}", "rows", sum(job.rows for job in jobs)) as advance:
            for part in make_parts(reading, found, start, scratch, storage, workers, advance):
                stored += len(part.lengths)
                dropped += int(part.facts.get(DROPPED_ROWS, 0))
                run.quirks.note(
                    "incomplete",
                    "{count} rows at the edges of checkpoints are of episodes that were not read whole; they were left "
                    "out",
                    dropped,
                    rule=_edge_rule(self.rows, self.edges),
                    dropped=dropped,
                    unit="rows",
                )
                yield part
        if not stored:
            raise InvalidInput(
                f"No episode of {run.label} has at most source.max_transitions={self.limits.transitions} steps at the "
                f"place where it is needed. Set a larger limit, or source.overflow=allow_last or skip."
            )

    def make_pieces(
        self,
        domain: str,
        task: str,
        scratch: Path,
        storage: Storage,
        start: Size,
        wanted: Amount,
        workers: int,
        numbers: range,
    ) -> PieceNumbers:
        """As of `BulkSource`; a piece is a checkpoint, by the number in its files' names.

        All small files are read, because its neighbours and the limits decide what is needed of it.
        """
        run = self._run(domain, task)
        _require_among(numbers, run)
        reading, found = self._prepare(run, start, wanted)
        jobs = jobs_for(reading, found)
        own = [job for job in not_made(jobs, scratch) if job.number in numbers]
        self._get_ready(run, own, scratch, storage)
        with progress("ingest", f"{domain}/{task}", "rows", sum(job.rows for job in own)) as advance:
            make_checkpoints(own, scratch, storage, workers, advance)
        all_needed = checkpoints_needed(needs(reading, Size(), wanted)[0])
        left = {job.number for job in not_made(jobs, scratch)}
        return PieceNumbers(all_needed, [number for number in all_needed if number not in left])

    def quirks(self, domain: str, task: str) -> Iterable[Quirk]:
        """What was decided, missing or strange."""
        return self._runs[task].quirks if task in self._runs else ()

    def _run(self, domain: str, task: str) -> Run:
        if task not in self._runs:
            listing = self._bucket.listing(bucket_name(domain, task), self.run)
            run = Run(listing, minimal_actions(task), CLIPPING)
            whole = run.whole_checkpoints()
            if self.selection == UPSTREAM:
                asked = upstream_numbers(self.quality, self.num_slices)
            else:
                asked = chronological_numbers(whole, self.quality, self.num_slices, self.seed)
            run.choose(asked, whole)
            if not run.chosen:
                raise InvalidInput(
                    f"No checkpoint of {run.label} that is asked for is whole in {self._bucket.address}. There are "
                    f"{number_ranges(listing.checkpoints)}; each needs the files {', '.join(NEEDED)}."
                )
            rule = f"source.rows={self.rows}" + (f", source.edges={self.edges}" if self.rows == CLEAN else "")
            run.quirks.note("clipped_rewards", self._rule(alone=len(run.chosen) == 1), rule=rule)
            self._runs[task] = run
        return self._runs[task]

    def _rule(self, alone: bool) -> str:
        """How rows become episodes; `alone` where one checkpoint is read, so that nothing can be joined."""
        low, high = CLIPPING
        clipped = f"rewards are clipped to [{low:g}, {high:g}] by the logging agent; returns are no game scores"
        if self.rows == UPSTREAM:
            return f"read as LRAM does: every row of each checkpoint, padding, copies and heads included; {clipped}"
        crossing = "that begin or end in another checkpoint" if alone else "between checkpoints"
        edges = {
            STITCH: f"episodes {crossing} dropped" if alone else "episodes between consecutive checkpoints joined",
            DROP: f"episodes {crossing} dropped",
            KEEP: f"episodes {crossing} kept as fragments",
        }
        return f"padding stripped, the last checkpoint cut where its new rows end, {edges[self.edges]}; {clipped}"

    def _prepare(self, run: Run, start: Size, wanted: Amount) -> tuple[Reading, list[Need]]:
        """Read the small files of as many checkpoints as can be needed."""
        if not self._bucket.local:
            files = [file for number in run.chosen for each in (False, True) for file in run.files(number, each)]
            size = human_bytes(sum(file.size for file in files))
            log.info("%s: %d checkpoints, %s in %s", run.label, len(run.chosen), size, self._bucket.address)
        for numbers in self._batches(run, wanted):
            self._bucket.fetch(run.small_files(numbers), run.label)
            run.read(numbers, everything=self.rows == UPSTREAM)
            joined = run.joined() if self.rows == CLEAN and self.edges == STITCH else frozenset()
            reading = self._reading(run, joined)
            found, enough = needs(reading, start, wanted)
            if enough:
                break
        read = run.chosen[: run.chosen.index(found[-1].unit.shard) + 1] if enough and found else run.chosen
        for number, rows in reading.plan.rows_without_whole_episode(read).items():
            run.quirks.note(
                "incomplete",
                f"no whole episode lies in checkpoint {number} alone; {{count}} of its rows were left out",
                rows,
                rule=_edge_rule(self.rows, self.edges),
                dropped=rows,
                unit="rows",
            )
        return reading, found

    def _get_ready(self, run: Run, jobs: Sequence[Job], scratch: Path, storage: Storage) -> None:
        """Fetch the frames that some jobs read. Raises InvalidInput where the disk cannot hold what they make."""
        self._bucket.fetch([file for job in jobs for file in run.files(job.number, frames=True)], run.label)
        _check_disk(run, jobs, scratch, storage)

    def _batches(self, run: Run, wanted: Amount) -> Iterator[list[int]]:
        """The chosen checkpoints, a few at a time where a limit may make the later ones needless.

        In the order of `mixed` a later one may be the neighbour of one before it, and complete that one's last episode.
        """
        limited = not wanted.everything or self.limits != Limits(overflow=self.limits.overflow)
        ordered = run.chosen in (sorted(run.chosen), sorted(run.chosen, reverse=True))
        step = AHEAD if limited and ordered else len(run.chosen)
        for at in range(0, len(run.chosen), step):
            yield run.chosen[at : at + step]

    def _reading(self, run: Run, joined: AbstractSet[tuple[int, int]]) -> Reading:
        clean = self.rows == CLEAN
        made = plan(run.shards, joined, self.edges == KEEP) if clean else as_upstream(run.shards)
        files = {shard.number: run.paths(shard.number) for shard in run.shards}
        stale = {shard.number: shard.capacity - 1 - shard.rows for shard in run.shards} if clean else {}
        return Reading(made, files, clean, self.limits, stale)


def _edge_rule(rows: str, edges: str) -> str:
    """The setting that leaves out what lies at the edges of checkpoints."""
    return f"source.edges={edges}" if rows == CLEAN else "source.rows=upstream"


def _require_among(numbers: range, run: Run) -> None:
    """Raises InvalidInput for numbers before the first or behind the last checkpoint that is read, or of none.

    Those between that are missing are left out: a sweep over all ranges does not know them.
    """
    first, last = min(run.chosen), max(run.chosen)
    own = set(numbers) & set(run.chosen)
    if own and first <= numbers.start and numbers.stop <= last + 1:
        return
    nearest = shards_word(min(own), max(own)) if own else shards_word(first, last)
    asked = shards_word(numbers.start, numbers.stop - 1)
    raise InvalidInput(
        f"stage.ingest.shards={asked}: the checkpoints of {run.label} that are read are "
        f"{number_ranges(run.chosen)}.\nSuch as: {again(stage__ingest__shards=nearest)}"
    )


def _check_disk(run: Run, jobs: Sequence[Job], scratch: Path, storage: Storage) -> None:
    """Raises InvalidInput before anything is written where the disk cannot hold it.

    Raw storage takes what rows take; compressed storage about what the compressed files do.
    """
    rows = sum(job.rows for job in jobs)
    bytes_needed = rows * ROW_BYTES
    if storage.compressed:
        needed = [job.number for job in jobs]
        size = sum(file.size for number in needed for file in run.files(number, frames=True))
        capacity = sum(shard.capacity for shard in run.shards if shard.number in needed)
        bytes_needed = int(size * min(1.0, rows / max(1, capacity)))
    scratch.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(scratch).free
    if free < bytes_needed:
        raise InvalidInput(
            f"{run.label}: {rows:,} rows need about {human_bytes(bytes_needed)} as storage={storage.name}, and "
            f"{human_bytes(free)} are free in {scratch}. Free some space, set paths.root to a larger disk, or ask "
            f"for less: source.max_transitions, source.num_slices"
            f"{'' if storage.compressed else ', or storage=zarr, which compresses'}."
        )
