"""DQN Replay checkpoints to episodes, against gzip decoders, the disk and a reader of upstream's kind."""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import h5py
import numpy as np
from blake3 import blake3
from zlib_ng import gzip_ng

from benchmarks.measure import Row, best_of, print_table
from pipeline.dataset.parts import PART_BYTES
from pipeline.machine.files import LONG_BYTES, begin_flush, files_below, sync_tree
from pipeline.machine.memory import keep_freed_memory
from pipeline.sources.dqn_replay.files import FRAME, LoggedArray
from pipeline.storage.choice import storage_named
from pipeline.storage.contract import write_arrays

ENVIRONMENTS, STEPS = 8, 5000
MIXES = {"about 16:1": {"enduro": 0.9, "yars_revenge": 0.1}, "about 110:1": {"breakout": 1.0}}
"""Games whose frames compress so under gzip -6; the other game comes in stretches of a hundred frames."""

FRAMES = 320_000
FULL = 1_000_000
ROWS = PART_BYTES // (84 * 84)
WINDOW = 4 * 2**20
BLOCK = bytes(2**24)
TASK = "enduro"
ONLY = "decoding, digest and writing, nothing else"
CHECKED = "decoding, digest, checksums of files and writing"
GOALS = {"zarr": 1.15, "bin": 1.10}
Log = dict[str, np.ndarray]


def measure(repeats: int = 3, full: bool = True, quick: bool = False) -> list[Row]:
    """Rows of both mixes and of a checkpoint of the real size.

    quick: half of one game's frames, which come again sooner and are packed by a faster gzip.
    """
    keep_freed_memory()  # as run.py does
    rows, frames, repeats = [], FRAMES // (2 if quick else 1), 2 if quick else repeats
    packer = gzip_ng.GzipNGFile if quick else gzip.GzipFile
    for name, mix in list(MIXES.items())[-1 if quick else 0 :]:
        with tempfile.TemporaryDirectory() as folder:
            log = tiled(log_of(mix, STEPS // (4 if quick else 1)), frames)
            files = write_checkpoint(Path(folder) / "bucket", log, lambda path: packer(path, "wb", 6))
            rows += compare(name, Path(folder), files, repeats)
    return [*rows, *([full_size()] if full and not quick else [])]


def compare(name: str, folder: Path, files: dict[str, Path], repeats: int) -> list[Row]:
    """Two rows for each storage, and one against the reader of upstream's kind."""
    frames = load(files["observation"])
    ratio = frames.nbytes / files["observation"].stat().st_size
    work = f"checkpoint of {len(frames):,} frames, {ratio:.0f}:1"
    costs = in_turns(
        repeats,
        folder,
        frames.nbytes,
        zlib_ng=lambda place: decode("zlib_ng.gzip_ng", files["observation"]),
        isal=lambda place: decode("isal.igzip", files["observation"]),
        ours_zarr=lambda place: ingest(folder, place, "zarr"),
        bulk_zarr=lambda place: bulk(place, "zarr", frames),
        ours_bin=lambda place: ingest(folder, place, "bin"),
        bulk_bin=lambda place: bulk(place, "bin", frames),
        bare_zarr=lambda place: bare(place, "zarr", files["observation"]),
        bare_bin=lambda place: bare(place, "bin", files["observation"]),
        checked_bin=lambda place: bare(place, "bin", files["observation"], checksums=True),
    )
    decoder = min(costs["zlib_ng"], costs["isal"])
    rows = []
    for storage in ("zarr", "bin"):
        ours, written = costs[f"ours_{storage}"], costs[f"bulk_{storage}"]
        limits = {"the best decoder alone": decoder.wall, f"{storage} written in bulk": written.wall}
        slower = max(limits, key=lambda name: limits[name])
        told = ", ".join(f"{each} {frames.nbytes / seconds / 1e6:,.0f} MB/s" for each, seconds in limits.items())
        note = f"{frames.nbytes / ours.wall / 1e6:,.0f} MB/s; {told}"
        rows.append(Row(f"{work}, {storage}", ours.wall, "", None, slower, limits[slower], note, limit_goal=1.25))
        alone = costs[f"bare_{storage}"]
        note = f"processor seconds: ours {ours.cpu:.2f}, limit {alone.cpu:.2f}"
        rows.append(Row(f"{work}, {storage}", ours.wall, "", None, ONLY, alone.wall, note, limit_goal=GOALS[storage]))
    checked = costs["checked_bin"]  # in zarr the bytes on disk are few, and their checksums nothing
    note = f"processor seconds: ours {costs['ours_bin'].cpu:.2f}, limit {checked.cpu:.2f}"
    rows.append(Row(f"{work}, bin", costs["ours_bin"].wall, "", None, CHECKED, checked.wall, note))
    upstream = in_turns(1, folder, frames.nbytes, upstream=lambda place: read_as_upstream(files, place))["upstream"]
    peer = "stdlib gzip, whole array, HDF5 with gzip by episode"
    for storage in ("zarr", "bin"):
        ours = costs[f"ours_{storage}"]
        rows.append(Row(f"{work}, {storage}", ours.wall, peer, upstream.wall, peer_goal=0.33))
    return rows


class Cost(NamedTuple):
    """Seconds of the clock, and of all cores that worked."""

    wall: float
    cpu: float


def in_turns(repeats: int, folder: Path, size: int, **functions: Callable[[Path], Any]) -> dict[str, Cost]:
    """As `measure.best_of`, each in a new folder, with two habits of virtual machines and of ext4 kept out.

    A file of `size` bytes is written and removed before each: virtual machines give unused memory back to their host
    and are slow in getting it again, which would hit whatever writes much after something that wrote little.
    Small files stay until the end: for minutes, ext4 looks at all that were removed for every file that is made.
    """
    best = dict.fromkeys(functions, Cost(float("inf"), float("inf")))
    for _ in range(repeats):
        for name, function in functions.items():
            place = Path(tempfile.mkdtemp(dir=folder))
            with (place / "memory").open("wb") as file:
                for _ in range(size // len(BLOCK)):
                    file.write(BLOCK)
            (place / "memory").unlink()
            began, worked = time.perf_counter(), time.process_time()
            function(place)
            cost = Cost(time.perf_counter() - began, time.process_time() - worked)
            best[name] = min(best[name], cost)
            for path in files_below(place):
                if path.stat().st_size > len(BLOCK):
                    path.unlink()
    return best


def full_size() -> Row:
    """A checkpoint of the real size in a process of its own: seconds, and the most memory that it took."""
    with tempfile.TemporaryDirectory() as folder:
        log = tiled(log_of(MIXES["about 110:1"]), FULL)
        files = write_checkpoint(Path(folder) / "bucket", log, lambda path: gzip.GzipFile(path, "wb", 1))
        del log
        code = f"from benchmarks.dqn_replay import report_ingest; report_ingest({folder!r})"
        told = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
        raw = FULL * 84 * 84
        note = f"peak memory {told['peak'] / 1e6:,.0f} MB, < 500 wanted; {raw / told['seconds'] / 1e6:,.0f} MB/s"
        decoder = best_of(1, ng=lambda: decode("zlib_ng.gzip_ng", files["observation"]))["ng"]
        work = f"checkpoint of {FULL:,} frames, {raw / files['observation'].stat().st_size:.0f}:1, zarr"
        return Row(work, told["seconds"], "", None, "zlib-ng alone", decoder, note)


def report_ingest(folder: str) -> None:
    """Ingest and print time and peak memory of this process, for `full_size`."""
    keep_freed_memory()
    seconds = best_of(1, ours=lambda: ingest(Path(folder), Path(folder) / "out", "zarr"))["ours"]
    status = Path("/proc/self/status").read_text()  # getrusage would tell the parent's, too
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


def log_of(mix: dict[str, float], steps: int = STEPS) -> Log:
    """Frames of random play, with the ends of episodes, in stretches that follow the shares of the mix."""
    logs = {game: play(game, steps) for game in mix}
    if len(logs) == 1:
        return next(iter(logs.values()))
    stretch, total = 1000, ENVIRONMENTS * steps
    pieces: list[tuple[str, slice]] = []
    for block in range(total // stretch):
        at = 0
        for game, share in mix.items():
            rows = round(share * stretch)
            pieces.append((game, slice(block * stretch + at, block * stretch + at + rows)))
            at += rows
    return {
        name: np.concatenate([logs[game][name][rows] for game, rows in pieces]) for name in next(iter(logs.values()))
    }


def play(game: str, steps: int) -> Log:
    """ENVIRONMENTS random players of so many decisions, one after the other."""
    from ale_py.vector_env import AtariVectorEnv

    environment = AtariVectorEnv(game, num_envs=ENVIRONMENTS, stack_num=1, frameskip=4, repeat_action_probability=0.25)
    environment.reset(seed=0)
    rng = np.random.default_rng(0)
    frames = np.empty((ENVIRONMENTS, steps, 84, 84), np.uint8)
    ended = np.zeros((ENVIRONMENTS, steps), np.uint8)
    for step in range(steps):
        shown, _, over, cut, _ = environment.step(rng.integers(0, environment.single_action_space.n, ENVIRONMENTS))
        frames[:, step] = np.asarray(shown).reshape(ENVIRONMENTS, 84, 84)
        ended[:, step] = over | cut
    ended[:, -1] = 1
    rows = ENVIRONMENTS * steps
    rewards = rng.integers(-1, 2, rows).astype(np.float32)
    actions = rng.integers(0, 9, rows).astype(np.int32)
    return {
        "observation": frames.reshape(rows, 84, 84),
        "action": actions,
        "reward": rewards,
        "terminal": ended.reshape(rows),
    }


def tiled(log: Log, rows: int) -> Log:
    """The log again and again until it has `rows` rows; frames are repeated without taking memory."""
    times = -(-rows // len(log["action"]))
    small = {name: np.tile(array, times)[:rows] for name, array in log.items() if name != "observation"}
    return {**small, "observation": log["observation"]}


def write_checkpoint(root: Path, log: Log, opened: Callable[[Path], Any]) -> dict[str, Path]:
    """Files of one regular checkpoint in the bucket's layout; frames are repeated up to the number of actions."""
    folder = root / "Enduro" / "1" / "replay_logs"
    folder.mkdir(parents=True)
    rows = len(log["action"])
    files = {name: folder / f"$store$_{name}_ckpt.0.gz" for name in log}
    for name, array in log.items():
        with opened(files[name]) as file:
            header = {"descr": array.dtype.str, "fortran_order": False, "shape": (rows, *array.shape[1:])}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, rows, len(array)):
                file.write(array[: rows - start].tobytes())
    files["add_count"] = folder / "add_count_ckpt.0.gz"
    with opened(files["add_count"]) as file:
        np.save(file, np.asarray(rows - 1))
    return files


def decode(module: str, path: Path) -> None:
    from importlib import import_module

    window = bytearray(WINDOW)
    with import_module(module).open(path) as file:
        while file.readinto(window):
            pass


def ingest(folder: Path, place: Path, storage: str) -> None:
    from pipeline.dataset.workspace import Workspace
    from pipeline.domains.domain import Domain, Regent
    from pipeline.sources.dqn_replay.source import DqnReplaySource
    from stages import ingest as stage

    stage.run(
        domain=Domain("atari", 27000, 5, dict, [TASK], Regent(32, 5, 100, 100000)),
        task=TASK,
        source=DqnReplaySource(root=str(folder / "bucket")),
        workspace=Workspace(str(place), storage),
        dataset="dqn-replay-v1",
        episodes=None,
        states=None,
        workers=1,
        force=False,
    )


def bulk(place: Path, storage: str, frames: np.ndarray) -> None:
    """The frames as one array, durable."""
    write_arrays(storage_named(storage), place, {"observation": frames})
    sync_tree(place)


def bare(place: Path, storage: str, path: Path, checksums: bool = False) -> None:
    """Decode, take a digest and write, durably, overlapped as far as the cores allow: what any reader has to do.

    `checksums`: also of the raw files, as a manifest lists them. BLAKE3 mixes the place of each kilobyte in, so that no
    digest of an episode helps with it.
    """
    free: SimpleQueue[np.ndarray] = SimpleQueue()
    for _ in range(3):
        free.put(np.empty((ROWS, *FRAME), np.uint8))

    def write(number: int, buffer: np.ndarray, rows: int) -> None:
        blake3(buffer[:rows].reshape(-1).data)
        if storage == "bin":
            write_raw(place / f"{number}.bin", buffer[:rows], checksums)
        else:
            write_arrays(storage_named(storage), place / str(number), {"observation": buffer[:rows]})
        free.put(buffer)

    with ThreadPoolExecutor(2) as writers, LoggedArray(path, np.uint8, FRAME) as frames:
        written = []
        for number, start in enumerate(range(0, frames.rows, ROWS)):
            buffer, rows = free.get(), min(ROWS, frames.rows - start)
            frames.read_into(buffer[:rows])
            written.append(writers.submit(write, number, buffer, rows))
        for each in written:
            each.result()
    sync_tree(place)


def write_raw(path: Path, frames: np.ndarray, checksum: bool) -> None:
    """The frames, of which the disk begins with each megabyte at once, as it does with ours."""
    data, hasher = frames.reshape(-1).data, blake3()
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(data), LONG_BYTES):
            if checksum:
                hasher.update(data[start : start + LONG_BYTES])
            file.write(data[start : start + LONG_BYTES])
            begin_flush(file.fileno(), start, LONG_BYTES)


def load(path: Path) -> np.ndarray:
    with gzip.open(path) as file:
        return np.load(file, allow_pickle=False)


def read_as_upstream(files: dict[str, Path], place: Path) -> None:
    """The arrays as a whole, cut behind terminal flags, one HDF5 file for each episode."""
    arrays = {name: load(files[name]) for name in ("observation", "action", "reward", "terminal")}
    start = 0
    for number, end in enumerate(np.flatnonzero(arrays["terminal"])):
        rows = slice(start, end + 1)
        with h5py.File(place / f"{number:09d}.hdf5", "w") as file:
            states = arrays["observation"][rows][:, None]
            file.create_dataset("states", data=states, compression="gzip", compression_opts=1)
            for name in ("action", "reward"):
                file.create_dataset(name, data=arrays[name][rows], compression="gzip", compression_opts=1)
        start = end + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-full", action="store_true", help="leave the checkpoint of a million frames out")
    arguments = parser.parse_args()
    print_table(measure(arguments.repeats, not arguments.no_full))


if __name__ == "__main__":
    main()
