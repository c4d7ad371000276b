"""Videos, read back by two decoders and a browser."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataset.workspace import Workspace
from pipeline.envs.toy import Toy
from pipeline.errors import InvalidInput
from pipeline.frames import video
from pipeline.frames.png import decode_png
from pipeline.frames.store import Frames
from pipeline.frames.video import KEYFRAMES, Video, episode_video, write_video
from tests.browser import asked, needs_browser
from tests.conftest import collected, toy_domain

BITS, CELL = 8, 8
RED, YELLOW, GREY = (200, 30, 40), (240, 178, 40), (128, 128, 128)


def numbered(row: int, height: int = 48, width: int = BITS * CELL) -> np.ndarray:
    """A picture that says which row it is: one upright stripe for each bit."""
    picture = np.full((height, width, 3), 40, np.uint8)
    for bit in range(BITS):
        if row >> bit & 1:
            picture[:, bit * CELL : (bit + 1) * CELL] = 220
    return picture


def number_of(picture: np.ndarray) -> int:
    middles = picture[picture.shape[0] // 2, CELL // 2 : BITS * CELL : CELL].mean(axis=-1)
    return sum(1 << bit for bit, level in enumerate(middles) if level > 128)


def flat(colour: tuple[int, int, int], height: int = 32, width: int = 32) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def by_pyav(path: Path) -> list[np.ndarray]:
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def by_opencv(path: Path) -> list[np.ndarray]:
    capture, found = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        found.append(read[1][..., ::-1])
    return found


@pytest.mark.parametrize("count", [1, 2, 3, KEYFRAMES + 30])
@pytest.mark.parametrize("width", [BITS * CELL, BITS * CELL + 1])
def test_frame_k_is_row_k_for_two_decoders(tmp_path: Path, count: int, width: int):
    path = tmp_path / "rows.mp4"
    written = write_video(path, (numbered(row, width=width) for row in range(count)))
    assert written == Video(count, width + width % 2, 48)
    for frames in (by_pyav(path), by_opencv(path)):
        assert [number_of(frame) for frame in frames] == list(range(count))


def test_each_frame_is_found_by_its_time(tmp_path: Path):
    path = tmp_path / "rows.mp4"
    write_video(path, map(numbered, range(200)))
    capture = cv2.VideoCapture(str(path))
    for row in (0, 119, 120, 121, 199, 57):
        capture.set(cv2.CAP_PROP_POS_FRAMES, row)
        assert number_of(capture.read()[1]) == row


@pytest.mark.parametrize(("fps", "rate"), [(24, Fraction(24)), (29.97, Fraction(2997, 100)), (Fraction(1, 2), None)])
def test_the_rate_is_constant_and_the_last_frame_lasts_as_long_as_the_others(tmp_path: Path, fps, rate):
    path = tmp_path / "rows.mp4"
    rate = rate or fps
    write_video(path, map(numbered, range(30)), fps=fps)
    with av.open(path) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert (stream.frames, stream.average_rate) == (30, rate)
        assert stream.duration * stream.time_base == 30 / rate
        assert [packet.pts * stream.time_base for packet in packets] == [row / rate for row in range(30)]
        assert [packet.dts for packet in packets] == [packet.pts for packet in packets]


@settings(max_examples=15)
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(1, 4))
def test_any_size_is_padded_to_even_sides(tmp_path_factory: pytest.TempPathFactory, size: tuple[int, int], count: int):
    path = tmp_path_factory.mktemp("sizes") / "any.mp4"
    written = write_video(path, [flat(YELLOW, *size)] * count)
    assert written == Video(count, size[1] + size[1] % 2, size[0] + size[0] % 2)
    for frames in (by_pyav(path), by_opencv(path)):
        assert [frame.shape for frame in frames] == [(written.height, written.width, 3)] * count
        assert max(np.abs(frame.astype(int) - YELLOW).max() for frame in frames) <= 4


def test_the_padding_repeats_the_edge(tmp_path: Path):
    picture = flat(GREY, 31, 33)
    picture[-1], picture[:, -1] = RED, RED
    write_video(tmp_path / "odd.mp4", [picture] * 3)
    shown = by_pyav(tmp_path / "odd.mp4")[1].astype(int)
    assert shown.shape == (32, 34, 3)
    # Row 30 and its copy, row 31, are one pair: nothing of grey mixes into their colour.
    assert np.abs(shown[30:, :30] - RED).max() <= 16
    assert np.abs(shown[:28, :28] - GREY).max() <= 16


def test_it_is_what_browsers_play(tmp_path: Path):
    path = tmp_path / "toy.mp4"
    write_video(path, map(numbered, range(3)))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    # ISO/IEC 14496-12, ColourInformationBox: primaries, transfer, matrix as 16 bits each, then the range bit.
    assert b"colrnclx" + bytes([0, 1, 0, 13, 0, 1, 0]) in data
    with av.open(path) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.codec_tag, context.pix_fmt, context.profile) == (
            "h264",
            "avc1",
            "yuv420p",
            "High",
        )
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (1, 13, 1, 1)
        assert "creation_time" not in container.metadata
    bare = tmp_path / "bare.h264"  # the stream says the same without the container
    with av.open(path) as source, av.open(bare, "w", format="h264") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    with av.open(bare) as container:
        frame = next(container.decode(video=0))
        assert (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range) == (1, 13, 1, 1)


def test_colours_come_back_within_a_few_levels(tmp_path: Path):
    toy = Toy("maze")
    toy.reset(0)
    pictures = [toy.render()]
    while len(pictures) < 20:
        toy.step(np.asarray(len(pictures) % 5))
        pictures.append(toy.render())
    write_video(tmp_path / "toy.mp4", pictures)
    for frames in (by_pyav(tmp_path / "toy.mp4"), by_opencv(tmp_path / "toy.mp4")):
        off = np.abs(np.stack(frames).astype(int) - np.stack(pictures))
        assert np.median(off) <= 2
        assert np.percentile(off, 95) <= 6
        assert off.mean() <= 3


def test_a_lower_crf_is_nearer_and_larger(tmp_path: Path, rng: np.random.Generator):
    pictures = list(rng.integers(0, 256, (5, 64, 64, 1), np.uint8).repeat(3, axis=-1))
    sizes, errors = [], []
    for crf in (1, 18, 40):
        path = tmp_path / f"{crf}.mp4"
        write_video(path, pictures, crf=crf)
        sizes.append(path.stat().st_size)
        errors.append(np.abs(np.stack(by_pyav(path)).astype(int) - np.stack(pictures)).mean())
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)


SAME = """
import os, sys
from pathlib import Path
import numpy as np
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
from pipeline.frames.video import write_video
write_video(Path(sys.argv[1]), np.load(sys.argv[2]))
"""


def test_the_same_pictures_give_the_same_bytes_again_and_on_one_core(tmp_path: Path):
    pictures = np.stack([numbered(row) for row in range(60)])
    seen = set()
    for _ in range(20):  # x264's macroblock tree gave other bytes in one of ten
        write_video(tmp_path / "here.mp4", pictures)
        seen.add((tmp_path / "here.mp4").read_bytes())
    np.save(tmp_path / "pictures.npy", pictures)
    command = [sys.executable, "-c", SAME, str(tmp_path / "there.mp4"), str(tmp_path / "pictures.npy")]
    subprocess.run(command, check=True, cwd=Path(video.__file__).parents[2])
    assert {hashlib.sha256(each).hexdigest() for each in seen} == {
        hashlib.sha256((tmp_path / "there.mp4").read_bytes()).hexdigest()
    }


def test_pictures_are_let_go_as_they_come(tmp_path: Path):
    alive: weakref.WeakSet = weakref.WeakSet()
    most = 0

    def made() -> Iterator[np.ndarray]:
        nonlocal most
        for row in range(150):
            picture = numbered(row)
            alive.add(_Tag(picture))
            most = max(most, len(alive))
            yield picture

    write_video(tmp_path / "rows.mp4", made())
    assert most <= 4


class _Tag:
    """Lives as long as an array does: arrays themselves cannot be in a WeakSet."""

    def __init__(self, array: np.ndarray) -> None:
        weakref.finalize(array, lambda kept: None, self)


def test_pictures_of_another_size_name_the_row_and_leave_nothing(tmp_path: Path):
    path = tmp_path / "rows.mp4"
    path.write_bytes(b"an older file")
    for good in (1, 100):
        with pytest.raises(InvalidInput, match=rf"Row {good} of rows.mp4 is 70 x 48 pixels, .* 64 x 48"):
            write_video(path, [*map(numbered, range(good)), numbered(0, width=70)])
    assert [each.name for each in tmp_path.iterdir()] == ["rows.mp4"]
    assert path.read_bytes() == b"an older file"


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, wrong: np.ndarray):
    with pytest.raises(InvalidInput, match=r"row 0 of rows.mp4 is"):
        write_video(tmp_path / "rows.mp4", [wrong])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"crf": 0}, "1 to 51"), ({"crf": 52}, "1 to 51"), ({"fps": 0}, "0.1 to 1000"), ({"fps": 1001}, "0.1 to 1000")],
)
def test_settings_outside_their_range_are_refused(tmp_path: Path, setting: dict, message: str):
    with pytest.raises(InvalidInput, match=message):
        write_video(tmp_path / "rows.mp4", [numbered(0)], **setting)


def test_no_pictures_and_too_large_ones_are_refused(tmp_path: Path):
    with pytest.raises(InvalidInput, match=r"no pictures for rows.mp4"):
        write_video(tmp_path / "rows.mp4", iter(()))
    with pytest.raises(InvalidInput, match=r"2 x 16385 pixels; H.264 takes 16384"):
        write_video(tmp_path / "rows.mp4", [flat(RED, 16385, 2)])
    assert list(tmp_path.iterdir()) == []


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InvalidInput, match=r"repertoire\[video\]"):
        write_video(tmp_path / "rows.mp4", [numbered(0)])


def test_an_ffmpeg_without_the_encoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(video, "ENCODER", "libx264-that-no-build-has")
    with pytest.raises(InvalidInput, match=r"built without libx264-that-no-build-has"):
        write_video(tmp_path / "rows.mp4", [numbered(0)])


def test_the_video_of_an_episode_shows_its_frames(tmp_path: Path):
    workspace = Workspace(str(tmp_path / "work"))
    collected(toy_domain(), workspace, episodes=2, render=True)
    frames = Frames(workspace.of_kind("toy", "corner", "frames")[0])
    written = episode_video(frames, 1, tmp_path / "1.mp4")
    shown = by_pyav(tmp_path / "1.mp4")
    assert written.frames == len(shown) == len(frames[1])
    for row, frame in enumerate(shown):
        pictures = [decode_png(frames[1][other]).astype(int) for other in range(len(frames[1]))]
        apart = [np.abs(picture - frame).mean() for picture in pictures]
        assert apart[row] == min(apart) <= 4


# Every frame is shown by jumping into its middle, drawn on a canvas, and read back. The event "seeked" may come before
# the picture is on the screen; the callback for video frames does not.
PLAY = """
const player = document.querySelector("video");
if (!player.canPlayType('video/mp4; codecs="avc1.640028"')) return null;
const once = name => new Promise((go, fail) => {
  player.addEventListener(name, go, {once: true});
  player.addEventListener("error", () => fail(new Error(player.error.message)), {once: true});
});
let waited = once("loadeddata"); player.preload = "auto"; player.load(); await waited;
const canvas = document.createElement("canvas");
[canvas.width, canvas.height] = [player.videoWidth, player.videoHeight];
const context = canvas.getContext("2d"), pixels = [];
for (let frame = 0; frame < COUNT; frame++) {
  waited = new Promise(go => {
    const look = (now, shown) =>
      Math.round(shown.mediaTime * 24) == frame ? go() : player.requestVideoFrameCallback(look);
    player.requestVideoFrameCallback(look);
  });
  player.currentTime = (frame + 0.5) / 24; await waited;
  context.drawImage(player, 0, 0);
  pixels.push([...context.getImageData(0, canvas.height / 2, canvas.width, 1).data]);
}
return {width: player.videoWidth, height: player.videoHeight, duration: player.duration, pixels};
"""


def played(folder: Path, count: int) -> dict:
    """What Chromium shows of `rows.mp4` in a folder."""
    (folder / "index.html").write_text('<!doctype html><video src="rows.mp4" preload="none" muted></video>')
    told = asked(folder, folder / "index.html", PLAY.replace("COUNT", json.dumps(count)))
    if told is None:
        pytest.skip("this Chromium was built without H.264")
    return told


@needs_browser
@pytest.mark.browser
def test_a_browser_shows_frame_k_for_row_k(tmp_path: Path):
    write_video(tmp_path / "rows.mp4", map(numbered, range(KEYFRAMES + 8)))
    told = played(tmp_path, KEYFRAMES + 8)
    assert (told["width"], told["height"]) == (BITS * CELL, 48)
    assert told["duration"] == pytest.approx((KEYFRAMES + 8) / 24)
    rows = [np.reshape(line, (1, -1, 4))[..., :3] for line in told["pixels"]]
    assert [number_of(row) for row in rows] == list(range(KEYFRAMES + 8))


@needs_browser
@pytest.mark.browser
@pytest.mark.parametrize(("height", "width"), [(480, 640), (1, 1)])
def test_a_browser_shows_the_same_colours(tmp_path: Path, height: int, width: int):
    """Standard and high definition alike: an untagged video would be guessed by its size."""
    colours = [RED, YELLOW, GREY, (30, 180, 60), (40, 60, 220), (255, 255, 255), (0, 0, 0)]
    write_video(tmp_path / "rows.mp4", [flat(colour, height, width) for colour in colours for _ in range(4)])
    told = played(tmp_path, 4 * len(colours))
    for number, line in enumerate(told["pixels"]):
        pixel = np.reshape(line, (-1, 4))[width // 2]
        assert np.abs(pixel[:3] - colours[number // 4]).max() <= 8, (colours[number // 4], pixel)
