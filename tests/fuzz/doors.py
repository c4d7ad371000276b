"""The doors that foreign files come through: small valid files for each, and what opens and reads all of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.episode import with_last_row
from pipeline.errors import DamagedArtifact
from pipeline.formats.contract import Format
from pipeline.formats.d4rl import D4rlFormat
from pipeline.formats.kabuki import KabukiFormat
from pipeline.formats.lerobot.format import LeRobotFormat
from pipeline.formats.lram.format import LramFormat
from pipeline.formats.minari.format import MinariFormat
from pipeline.formats.ogbench import OgbenchFormat
from pipeline.formats.rlds.format import RldsFormat
from pipeline.hub.description import read_description
from pipeline.interfaces import ArraySpec, Decision, Policy
from pipeline.policies.normalize import read_scalings
from pipeline.policies.sb3.zoo import read_training
from pipeline.sources.contract import Source
from pipeline.sources.d4rl import D4rlSource
from pipeline.sources.frames.source import FramesSource
from pipeline.sources.jat.source import JatSource
from pipeline.sources.kabuki import KabukiSource
from pipeline.sources.lerobot.source import LeRobotSource
from pipeline.sources.lram.source import LramSource
from pipeline.sources.minari.source import MinariSource
from pipeline.sources.ogbench import OgbenchSource
from pipeline.sources.rlds.source import RldsSource
from pipeline.sources.rlhf_blender.source import BlenderSource
from pipeline.views.contexts import Contexts
from stages import verify
from tests import minari_files
from tests.blender_tree import made_by_the_server
from tests.conftest import collected, derived, made_episode, toy_domain
from tests.contracts.format import Listed, exported, ingested, place_of
from tests.d4rl_files import d4rl_arrays, write_d4rl
from tests.dqn_replay_files import played_run
from tests.everything import everything
from tests.frame_files import screens, write_episode
from tests.fuzz.edits import Files
from tests.jat_files import make_jat, make_missions, make_screens
from tests.kabuki_files import kabuki_arrays, write_kabuki
from tests.lerobot_files import LeRobotFiles
from tests.lram_files import write_game
from tests.pipeline.policies.agents import FORCE, MOVES, Small, trained
from tests.pipeline.sources.dqn_replay.readings import stored
from tests.pipeline.sources.envlogger.sent import read_sent, write_sent
from tests.rlds_files import write_pictures
from tests.rlhf_blender_files import Walk, recorded, write_run


@dataclass(frozen=True)
class Door:
    """One way in.

    Attributes:
        write: makes the valid files in a folder.
        open: reads all of them; a folder may be written to below `.out`.
        share: how many of a hundred inputs it gets.
    """

    write: Callable[[Path], object]
    open: Callable[[Path], object]
    share: int


@cache
def valid_files(name: str) -> Files:
    """The content of the door's valid files by their path."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        DOORS[name].write(folder)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _write_bucket(folder: Path) -> None:
    played_run(40, [8, 30, 12, 9, 21, 2, 9], idle=False).write_bucket(folder)


def _write_cache(folder: Path) -> None:
    played_run(40, [8, 30, 12, 9], idle=False).write_cache(folder)


def _read_replay(**settings: Any) -> Callable[[Path], object]:
    return lambda folder: list(EpisodeDataset.of(stored(folder, folder / ".out", **settings)))


def _write_missions(folder: Path) -> None:
    make_missions(folder, [5, 300, 7], texts=False, metadata=False).write_raw(folder / "raw", empty_at=[1])


def _read_jat(domain: str, task: str, **settings: Any) -> Callable[[Path], object]:
    def read(folder: Path) -> None:
        raw = {"raw": str(folder / "raw")} if (folder / "raw").is_dir() else {}
        source = JatSource(str(folder), **raw, **settings)
        source.identity(domain, task)
        source.count(domain, task)
        for episode in source.episodes(domain, task):
            episode.digest()
        list(source.quirks(domain, task))

    return read


def _write_agent(algorithm: str, **settings: Any) -> Callable[[Path], object]:
    return lambda folder: trained(
        folder, algorithm, Small("vector", MOVES if algorithm == "dqn" else FORCE), **settings
    )


def _play_agent(algorithm: str) -> Callable[[Path], object]:
    def play(folder: Path) -> None:
        from pipeline.policies.sb3.agent import StableBaselines

        _play(StableBaselines(folder / f"{algorithm}.zip", trust=True), MOVES if algorithm == "dqn" else FORCE)

    return play


def _play(policy: Policy, takes: ArraySpec) -> None:
    policy.identity()
    environment = Small("vector", takes)
    policy.start(0, environment)
    policy.act([Decision(0, environment.reset(0), np.random.default_rng(0))])


def _write_statistics(folder: Path) -> None:
    path = trained(folder, "ppo", Small("vector", FORCE), normalize=True)
    path.unlink()


def _write_weights(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    state = _network().build("random").state_dict()
    torch.save(state, folder / "weights.pt")
    save_file(state, folder / "weights.safetensors")


def _read_weights(folder: Path) -> None:
    from pipeline.embedding.weights import load

    for name in ("weights.pt", "weights.safetensors"):
        load(_network(), str(folder / name), 0)


def _network() -> Any:
    from pipeline.embedding.networks import Module
    from tests.pipeline.embedding.encoders import Small as SmallNetwork

    return Module(SmallNetwork)


SCRIPT = "module.torchscript"
"""Not `.pt`: a whole program that is trusted may crash the process, so only damage that its checksums show is tried."""


def _write_script(folder: Path) -> None:
    import torch

    torch.manual_seed(0)
    torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.Linear(3, 3)).double()), folder / SCRIPT)


def _play_script(folder: Path) -> None:
    from pipeline.policies.torch_module import TorchModule

    _play(TorchModule(folder / SCRIPT, trust=True), MOVES)


def _write_artifacts(folder: Path) -> None:
    toy, workspace = toy_domain(), Workspace(str(folder), "bin")
    collected(toy, workspace, episodes=8)
    derived(toy, workspace)


def _read_artifacts(folder: Path) -> None:
    """Datasets and contexts as a trainer reads them; then what `verify` says."""
    workspace, damage = Workspace(str(folder), "bin"), list[DamagedArtifact]()
    for artifact in workspace.all(None, damage):
        if artifact.manifest.kind == "episodes":
            list(EpisodeDataset.of(artifact))
    if damage:
        raise damage[0]
    verify.run(domain=None, only=None, workspace=workspace, audit=None, workers=1)


def _write_bins(folder: Path) -> None:
    _write_artifacts(folder / ".made")
    (shapes,) = (folder / ".made").rglob("bins/*/*/shapes.json")
    for path in shapes.parent.iterdir():
        path.rename(folder / path.name)
    shutil.rmtree(folder / ".made")


def _read_bins(folder: Path) -> None:
    contexts = Contexts(folder)
    for item in range(len(contexts)):
        contexts[item]


def _write_zoo(folder: Path) -> None:
    (folder / "config.yml").write_text(
        "!!python/object/apply:collections.OrderedDict\n- - - env_wrapper\n    - - a.Wrapper:\n          noop_max: 30\n"
        "  - - frame_stack\n    - 4\n  - - normalize\n    - \"{'norm_obs': True}\"\n"
    )
    (folder / "args.yml").write_text("env: PongNoFrameskip-v4\nenv_kwargs: {}\n")


def _write_description(folder: Path) -> None:
    (folder / "published.json").write_text(
        '{"format": 1, "name": "a-b", "held_out": false, "configs": [], "bins": {"arrays": []}, "dataset": {}, '
        '"retrieval": {}, "figures": {"rows": 1}, "versions": {}, "warnings": []}'
    )


def _read_description(folder: Path) -> None:
    if (folder / "published.json").is_file():
        read_description((folder / "published.json").read_bytes(), "published.json")


def _write_lram(folder: Path) -> None:
    """One file of each kind that is read without trust, and an order of their own."""
    write_game(folder / "corner", ".npz", ".hdf5", side=6)
    (folder / "corner" / "episode_trjids.json").write_text('{"000000000": 3, "000000001": 1, "000000002": 2}')


def _write_ogbench(folder: Path) -> None:
    """As OGBench writes its own files."""
    for name, rows in (("a.npz", 13), ("a-val.npz", 5)):
        rng = np.random.default_rng(rows)
        np.savez_compressed(
            folder / name,
            observations=rng.normal(size=(rows, 3)).astype(np.float32),
            actions=rng.normal(size=(rows, 2)).astype(np.float32),
            terminals=np.arange(rows) % 5 == 4,
            qpos=rng.normal(size=(rows, 4)).astype(np.float32),
        )


def _write_minari(folder: Path) -> None:
    made = [minari_files.arrays(length, length) for length in (5, 3)]
    minari_files.write_hdf5(folder, made, attributes={"options/level": 3, "seed": 4})


def _write_minari_tables(folder: Path, data_format: str) -> None:
    minari_files.write_tables(folder, [minari_files.arrays(length, length) for length in (5, 3)], data_format)


def _write_export(form: Format) -> Callable[[Path], object]:
    """A small dataset with everything in a form, where that can hold it."""

    def write(folder: Path) -> None:
        workspace = Workspace(str(folder / ".made"), "bin")
        ingested(Listed(everything()), workspace)
        exported(form, workspace, out=str(folder), final_observation="zero")
        shutil.rmtree(folder / ".made")

    return write


def _read_source(make: Callable[[str], Source]) -> Callable[[Path], object]:
    def read(folder: Path) -> None:
        source = make(str(folder))
        source.identity("toy", "corner")
        source.count("toy", "corner")
        for episode in source.episodes("toy", "corner"):
            episode.digest()

    return read


def _write_blender(folder: Path) -> None:
    made_by_the_server(folder / "tree", {"Experiment": {"exp_name": "Mine", "env_id": "toy-corner"}})
    write_run(folder / "tree", recorded(Walk([3, 4, 2])), env="toy-corner")


def _write_screens(folder: Path) -> None:
    """Two episodes of small screens; one has a screen after its last action."""
    for number, said in enumerate((["1: up", "0: stay", "LEFT"], ["[[2]]", "3: left"])):
        place = folder / "toy_corner" / f"episode_{number:03d}_rand0.2"
        write_episode(place, said, screens(number, len(said) + number, (12, 16)))


def _read_screens(folder: Path) -> None:
    source = FramesSource(str(folder))
    source.present("toy")
    source.identity("toy", "corner")
    source.count("toy", "corner")
    for episode, pictures in source.pictured("toy", "corner"):
        assert len(pictures) == episode.rows
        episode.digest()
    list(source.quirks("toy", "corner"))


def _only_folder(folder: Path) -> str:
    return str(next(path for path in Path(folder).iterdir() if path.is_dir() and not path.name.startswith(".")))


def _write_lerobot_export(folder: Path) -> None:
    """An export of ours, with pictures and an info that one episode lacks."""
    workspace, rng = Workspace(str(folder / ".made"), "bin"), np.random.default_rng(2)
    episodes = [made_episode(rng, length, truncated=True, end_reason="time_limit") for length in (3, 5)]
    for number, episode in enumerate(episodes):
        camera = rng.integers(0, 255, (episode.rows, 16, 18, 3), np.uint8)
        steps = {**episode.steps, "observation/camera": camera, "observation/state": episode.steps["observation"]}
        del steps["observation"]
        steps |= {"info/x": with_last_row("x", np.arange(episode.length))} if number else {}
        episodes[number] = replace(episode, steps=steps)
    ingested(Listed(episodes), workspace)
    shutil.copytree(place_of(exported(LeRobotFormat(), workspace)), folder, dirs_exist_ok=True)
    shutil.rmtree(folder / ".made")


HDF5 = "corner.hdf5"

DOORS: dict[str, Door] = {
    "dqn": Door(_write_bucket, _read_replay(), 22),
    "dqn-keep": Door(_write_bucket, _read_replay(edges="keep"), 4),
    "dqn-upstream": Door(_write_bucket, _read_replay(rows="upstream"), 4),
    "dqn-cache": Door(_write_cache, _read_replay(), 6),
    "kabuki": Door(lambda folder: write_kabuki(folder / HDF5, kabuki_arrays()), _read_source(KabukiSource), 4),
    "kabuki-ours": Door(_write_export(KabukiFormat()), _read_source(KabukiSource), 4),
    "d4rl": Door(lambda folder: write_d4rl(folder / HDF5, d4rl_arrays()), _read_source(D4rlSource), 4),
    "d4rl-ours": Door(_write_export(D4rlFormat("none")), _read_source(D4rlSource), 4),
    "frames": Door(_write_screens, _read_screens, 6),
    "envlogger": Door(write_sent, read_sent, 4),
    "jat-vectors": Door(lambda folder: make_jat(folder, [300, 7, 256], files=2), _read_jat("mujoco", "ant"), 14),
    "jat-screens": Door(lambda folder: make_screens(folder, [33, 7], metadata=False), _read_jat("atari", "pong"), 10),
    "jat-missions": Door(_write_missions, _read_jat("babyai", "go-to"), 10),
    "jat-texts": Door(lambda folder: make_missions(folder, [5, 7]), _read_jat("babyai", "go-to"), 4),
    "lram": Door(_write_lram, _read_source(LramSource), 4),
    "lram-ours": Door(_write_export(LramFormat("hdf5", returns_to_go=True)), _read_source(LramSource), 4),
    "lram-pickles": Door(
        _write_export(LramFormat("pkl")), _read_source(lambda folder: LramSource.of_own(Path(folder))), 2
    ),
    "ogbench": Door(_write_ogbench, _read_source(OgbenchSource), 4),
    "ogbench-ours": Door(
        _write_export(OgbenchFormat(compression="none")),
        _read_source(lambda folder: OgbenchSource(_only_folder(Path(folder)))),
        4,
    ),
    "rlds": Door(write_pictures, _read_source(partial(RldsSource, mission="language_instruction")), 4),
    "rlds-ours": Door(_write_export(RldsFormat("tfrecord", file_mb=1e-3)), _read_source(RldsSource), 4),
    "rlds-array-record": Door(_write_export(RldsFormat()), _read_source(RldsSource), 4),
    "rlhf-blender": Door(_write_blender, _read_source(lambda folder: BlenderSource(f"{folder}/tree")), 6),
    "minari": Door(_write_minari, _read_source(MinariSource), 4),
    "minari-jpeg": Door(lambda folder: minari_files.write_pictures(folder, [2, 1]), _read_source(MinariSource), 2),
    "minari-arrow": Door(lambda folder: _write_minari_tables(folder, "arrow"), _read_source(MinariSource), 4),
    "minari-parquet": Door(lambda folder: _write_minari_tables(folder, "parquet"), _read_source(MinariSource), 2),
    "minari-ours": Door(_write_export(MinariFormat()), _read_source(MinariSource), 2),
    "ppo": Door(_write_agent("ppo"), _play_agent("ppo"), 8),
    "dqn-agent": Door(_write_agent("dqn"), _play_agent("dqn"), 4),
    "statistics": Door(_write_statistics, lambda folder: read_scalings(folder / "vecnormalize.pkl"), 2),
    "weights": Door(_write_weights, _read_weights, 4),
    "script": Door(_write_script, _play_script, 2),
    "artifacts": Door(_write_artifacts, _read_artifacts, 4),
    "bins": Door(_write_bins, _read_bins, 4),
    "zoo": Door(_write_zoo, lambda folder: read_training(folder / "config.yml"), 2),
    "lerobot": Door(lambda folder: LeRobotFiles([3, 4]).write(folder), _read_source(LeRobotSource), 6),
    "lerobot-export": Door(_write_lerobot_export, _read_source(LeRobotSource), 6),
    "description": Door(_write_description, _read_description, 1),
}
