"""What folders may hold that no sampler writes: each is counted, or refused with the file and what to do."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import InvalidInput, UnknownName
from pipeline.frames.png import SIGNATURE
from pipeline.sources.frames.source import FramesSource
from pipeline.sources.quirks import Quirk
from stages import ingest
from tests.frame_files import png, screens, texts, write_episode, write_odd_tree, write_tree
from tests.pipeline.sources.frames.test_exports import games

SMALL = (12, 16)


def found(root: Path, **settings: object) -> dict[str, Quirk]:
    """The quirks of a tree that can be read."""
    source = FramesSource(str(root), **settings)
    for _ in source.episodes("atari", "alien"):
        pass
    return {quirk.name: quirk for quirk in source.quirks("atari", "alien")}


def test_each_oddity_is_counted(tmp_path: Path):
    write_odd_tree(tmp_path)
    quirks = found(tmp_path)
    assert {name: quirk.count for name, quirk in quirks.items()} == {
        **{"no_rewards": 1, "unfinished_episodes": 1, "empty_episodes": 1, "no_randomness": 1},
        **{"frames_without_action": 3, "actions_without_frame": 1, "holes": 1, "no_final_observations": 3},
        **{"no_number": 1, "no_white_space": 1, "unknown_actions": 1, "other_names": 2},
    }
    assert quirks["frames_without_action"].sentence == "3 screens have no action; they were left out."


def test_actions_are_numbers_of_the_game(tmp_path: Path):
    said = ["4: LEFT", "LEFT", "left", "4:LEFT", "[[4]]", "4", "9: UNKNOWN", "JUMP", "UNKNOWN"]
    write_episode(tmp_path / "breakout" / "episode_000", said, screens(0, 9, SMALL))
    source = FramesSource(str(tmp_path))
    (episode,) = source.episodes("atari", "breakout")
    # Breakout's own set is NOOP FIRE RIGHT LEFT: 4 is LEFT among all 18 alone
    assert source.identity("atari", "breakout")["actions"] == list(range(18))
    assert episode.steps["action"].tolist() == [4, 4, 4, 4, 4, 4, 9, -1, -1, 0]
    assert episode.info_texts["action_text"] == said
    for number in (0, 3):
        (tmp_path / "breakout" / "episode_000" / f"action_{number:06d}.txt").write_text("4: JUMP")
    assert "actions" not in FramesSource(str(tmp_path)).identity("atari", "breakout")
    for number in range(9):
        (tmp_path / "breakout" / "episode_000" / f"action_{number:06d}.txt").write_text("LEFT")
    source = FramesSource(str(tmp_path))
    assert source.identity("atari", "breakout")["actions"] == [0, 1, 3, 4]
    assert set(next(source.episodes("atari", "breakout")).steps["action"][:-1].tolist()) == {3}


def test_printed_arrays_are_actions_of_many_numbers(tmp_path: Path):
    folder = tmp_path / "dmc_cheetah-run" / "episode_000"
    write_episode(folder, ["[0.5, -1]", "[ 1e-3\n 2.]"], screens(0, 2, SMALL))
    (episode,) = FramesSource(str(tmp_path)).episodes("dmc", "cheetah-run")
    np.testing.assert_array_equal(episode.steps["action"], [[0.5, -1], [1e-3, 2], [0, 0]])
    (folder / "action_000001.txt").write_text("[1, 2, 3]")
    with pytest.raises(InvalidInput, match="are of several kinds: some are printed arrays of 3 numbers"):
        FramesSource(str(tmp_path)).identity("dmc", "cheetah-run")


def test_names_of_another_domain_are_those_of_its_texts(tmp_path: Path):
    write_episode(tmp_path / "toy_corner" / "episode_000", ["1: up", "0: stay", "2: down"], screens(0, 3, SMALL))
    assert FramesSource(str(tmp_path)).identity("toy", "corner")["actions"] == ["stay", "up", "down"]


def test_screens_go_by_their_numbers(tmp_path: Path):
    write_episode(tmp_path / "alien" / "episode_000", texts(0, 2), pictures := screens(0, 2))
    folder = tmp_path / "alien" / "episode_000"
    for name in ("frame_000001.png", "action_000001.txt"):
        (folder / name).rename(folder / name.replace("000001", "10"))
    for name in ("frame_000000.png", "action_000000.txt"):
        (folder / name).rename(folder / name.replace("000000", "9"))
    (folder / "frame_last.png").write_bytes(b"")
    (episode,) = FramesSource(str(tmp_path)).episodes("atari", "alien")
    np.testing.assert_array_equal(episode.steps["observation"][:2], pictures)
    assert episode.steps["info/frame_number"].tolist() == [9, 10, 0]
    assert {"sorted_by_number", "no_file_number"} <= found(tmp_path).keys()
    (folder / "frame_009.png").write_bytes(png(pictures[0]))
    with pytest.raises(InvalidInput, match="two screens of the number 9"):
        found(tmp_path)


def bomb(width: int, height: int) -> bytes:
    """A file whose head promises so many pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def sixteen_bits() -> bytes:
    head = bytearray(bomb(4, 4))
    head[24] = 16
    return bytes(head)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "torn": (lambda path: path.write_bytes(path.read_bytes()[:-40]), "frame_000001.png is damaged"),
    "empty": (lambda path: path.write_bytes(b""), "frame_000001.png is no PNG file"),
    "text": (lambda path: path.write_text("no picture at all, only words"), "frame_000001.png is no PNG file"),
    "size": (lambda path: path.write_bytes(png(screens(0, 1, SMALL)[0])), "first is 160 x 210, frame_000001.png is 16"),
    "bomb": (lambda path: path.write_bytes(bomb(100_000, 100_000)), "100000 x 100000 pixels"),
    "no side": (lambda path: path.write_bytes(bomb(0, 210)), "0 x 210 pixels, which is no picture"),
    "deep": (lambda path: path.write_bytes(sixteen_bits()), "16 bits a channel"),
    "pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "frame_000001.png must be a file"),
    "latin": (
        lambda path: path.with_name("action_000001.txt").write_bytes(b"8: d\xe9"), "no text in UTF-8: byte 4 is 0xe9",
    ),
    "long": (lambda path: path.with_name("action_000001.txt").write_bytes(b"8" * 2**21), "larger than a megabyte"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_cannot_be_read_is_named(damage: str, tmp_path: Path):
    write_episode(tmp_path / "alien" / "episode_000_rand0.2", texts(0, 3), screens(0, 3))
    harm, words = DAMAGES[damage]
    harm(tmp_path / "alien" / "episode_000_rand0.2" / "frame_000001.png")
    with pytest.raises(InvalidInput, match=words):
        found(tmp_path)


@pytest.mark.parametrize("what", ["atari_alien", "episode_000_rand0.2", "frame_000000.png", "action_000000.txt"])
def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_followed(what: str, tmp_path: Path):
    write_tree(tmp_path / "root", (2,))
    (path,) = (tmp_path / "root").rglob(what)
    path.rename(tmp_path / "root" / "moved")
    path.symlink_to(tmp_path / "root" / "moved")
    found(tmp_path / "root")
    (tmp_path / "root" / "moved").rename(tmp_path / "outside")
    path.unlink()
    path.symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidInput, match=f"{what} is a link that leads out of"):
        found(tmp_path / "root")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA"])
def test_screens_of_other_kinds_are_read_as_colours(mode: str, tmp_path: Path):
    picture = np.repeat(np.random.default_rng(0).integers(0, 2, (20, 20, 1), np.uint8) * 255, 3, 2)
    write_episode(tmp_path / "alien" / "episode_000_rand0.2", texts(0, 1), picture[np.newaxis], mode=mode)
    (episode,) = FramesSource(str(tmp_path)).episodes("atari", "alien")
    np.testing.assert_array_equal(episode.steps["observation"][0], picture)
    assert ("transparent" in found(tmp_path)) == mode.endswith("A")


def test_screens_of_no_console_are_not_scaled(tmp_path: Path):
    write_episode(tmp_path / "alien" / "episode_000_rand0.2", texts(0, 2), screens(0, 2, (20, 30)))
    with pytest.raises(InvalidInput, match="those in .* are 30 x 20. Take them as they are: .*source.observation=rgb"):
        found(tmp_path, observation="grey84")


def test_two_folders_of_a_task_are_one_too_many(tmp_path: Path):
    for environment in ("atari_alien", "ALE-Alien-v5"):
        write_tree(tmp_path, (2,), environment)
    write_tree(tmp_path, (3,), "atari_alien_ckpt100")
    with pytest.raises(InvalidInput, match="Name one: .*source.environment=ALE-Alien-v5"):
        found(tmp_path)
    source = FramesSource(str(tmp_path), environment="atari_alien_ckpt100")
    assert [episode.length for episode in source.episodes("atari", "alien")] == [3]
    with pytest.raises(UnknownName, match="atari_alien_ckpt100"):
        found(tmp_path, environment="atari_alien_ckpt10")


def test_only_the_tasks_that_are_there_are_done(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    domain = games(["alien", "pong", "montezumarevenge"])
    for environment in ("atari_montezuma", "pong", "elsewhere"):
        write_tree(tmp_path, (1,), environment)
    assert ingest.tasks(domain=domain, source=FramesSource(str(tmp_path))) == ["montezumarevenge", "pong"]
    assert "left out elsewhere" in caplog.text
    alone = FramesSource(str(tmp_path / "pong"))
    assert ingest.tasks(domain=domain, source=alone) == ["pong"]
    assert len(list(alone.episodes("atari", "pong"))) == 1
    with pytest.raises(InvalidInput, match="has elsewhere, and none of them is called as a task of atari"):
        ingest.tasks(domain=domain, source=FramesSource(str(tmp_path / "elsewhere")))


def test_a_folder_without_episodes_says_what_was_wanted(tmp_path: Path):
    (tmp_path / "atari_alien").mkdir()
    with pytest.raises(InvalidInput, match=r"No folder in source.path=.* Wanted: a folder with atari_alien"):
        found(tmp_path)
    Image.new("RGB", (2, 2)).save(tmp_path / "frame.png")
    with pytest.raises(InvalidInput, match="is a file. Wanted"):
        found(tmp_path / "frame.png")
