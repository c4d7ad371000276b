"""Videos of episodes, one frame for each row: H.264 in mp4, the one kind that every browser plays.

Frame k of the file is picture k, nothing between and nothing left out. There are no B-frames, so that frames are stored
in the order in which they are shown and a player finds each without reordering.

H.264 with half the colour resolution (yuv420p) is a lossy format: flat areas come back within a few levels of 255, but
a coloured detail of a single pixel mixes with its neighbours, at any quality. Who needs pixels takes the PNG frames.
PyAV: https://pyav.basswood-io.com ; x264's settings: https://trac.ffmpeg.org/wiki/Encode/H.264
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Shaped, UInt8

from pipeline.errors import InvalidInput
from pipeline.frames.png import decode_own, decode_png
from pipeline.frames.store import EpisodeFrames, Frames
from pipeline.machine.extras import import_extra
from pipeline.machine.files import write_atomic
from pipeline.wording import check_count

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import OutputContainer
    from av.video.stream import VideoStream

ENCODER: Final = "libx264"
FPS = 24
CRF = 18
"""x264's constant rate factor, 1 (large, near) to 51 (small, far). At 18 mostly the colour resolution is lost."""

LARGEST = 16_384
"""Pixels a side that x264 takes."""

KEYFRAMES = 120
"""Frames from one that stands alone to the next, at most: a player that jumps decodes no more than these."""

SETTINGS = {"preset": "medium", "profile": "high", "bf": "0", "threads": "1", "mbtree": "0"}
"""Of x264. One thread, because the bytes depend on their number; who has several videos writes them in several
processes. No macroblock tree: with it the same pictures gave other bytes now and then. Doing without costs a tenth to a
quarter more bytes, for camera pictures up to twice as many.
"""

BT709, LIMITED, SRGB = 1, 1, 13
"""Code points of ITU-T H.273: matrix and primaries, range of levels, transfer function. A player without them
guesses by the picture's size, and shows other colours."""

AREA, FULL_CHROMA, ACCURATE, BITEXACT = 0x20, 0x4000, 0x40000, 0x80000
"""Flags of libswscale (`swscale.h`), whose names PyAV knows only from version 18 on."""


@dataclass(frozen=True)
class Video:
    """What was written: `frames` pictures of `width` x `height` pixels, padding included."""

    frames: int
    width: int
    height: int


def write_video(
    path: Path,
    pictures: Iterable[UInt8[np.ndarray, "h w 3"]],
    fps: float | Fraction = FPS,
    crf: int = CRF,
    keyframes: int = KEYFRAMES,
) -> Video:
    """Write pictures as the frames of an mp4 file, which appears whole or not at all.

    Streams: a few dozen frames are in memory, as the encoder looks ahead. The same pictures give the same bytes with
    any number of cores, as long as PyAV and the processor are the same; the file holds no date.

    Args:
        path: of the file; the folder must be there.
        pictures: all of one size, at least one. Where a side is odd, its last row or
            column is repeated once, because H.264 halves both sides for colours.
        fps: frames per second, 0.1 to 1000; the rate is constant.
        crf: quality, 1 to 51; lower is nearer to the pictures and larger.
        keyframes: frames from one that stands alone to the next, at most.

    Raises:
        InvalidInput: no pictures, pictures of several sizes, arrays that are no pictures, a setting outside its range,
            PyAV is missing, or its FFmpeg has no libx264.
    """
    check_encoder()
    rate = check_quality(fps, crf)
    check_count("keyframes", keyframes)
    checked = _checked(pictures, path.name)
    if (first := next(checked, None)) is None:
        raise InvalidInput(f"There are no pictures for {path.name}; a video needs at least one.")
    frames = 0

    def write(file: Any) -> None:
        nonlocal frames
        # FFmpeg opens the file by its name: it reads the frames back to put the index before them.
        options = SETTINGS | {"crf": str(crf), "g": str(keyframes)}
        frames = _encode(Path(file.name), chain([first], checked), first.shape, rate, options)

    write_atomic(path, write)
    return Video(frames, first.shape[1] + first.shape[1] % 2, first.shape[0] + first.shape[0] % 2)


def episode_video(frames: Frames, index: int, path: Path, fps: float | Fraction = FPS, crf: int = CRF) -> Video:
    """Write the pictures of one episode as `write_video` does; frame k is row k, T+1 in all."""
    return write_video(path, decoded(frames[index]), fps, crf)


def decoded(files: EpisodeFrames) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The pictures of an episode that are there, one in memory at a time."""
    shape = None
    for row in range(len(files)):
        if not (file := files[row]):
            continue
        picture = None if shape is None else np.empty(shape, np.uint8)
        if picture is None or not decode_own(file, picture):
            picture = decode_png(file)
        shape = picture.shape
        yield picture


def check_encoder() -> None:
    """Raises InvalidInput where no video can be written here, with what to install."""
    library = import_extra("video", "av")
    try:
        library.Codec(ENCODER, "w")
    except ValueError as error:  # UnknownCodecError is one
        raise InvalidInput(
            f"The FFmpeg that PyAV uses here was built without {ENCODER}, so it cannot write H.264. PyAV's own wheels "
            f"have it: pip install --force-reinstall --only-binary=av av"
        ) from error


def check_quality(fps: float | Fraction, crf: int) -> Fraction:
    """The rate of frames. Raises InvalidInput for a rate or a quality that no video has."""
    if not 0.1 <= fps <= 1000:
        raise InvalidInput(f"fps={fps} must be 0.1 to 1000 frames per second.")
    if not 1 <= crf <= 51:
        raise InvalidInput(f"crf={crf} is outside 1 to 51. 18 is hard to tell from the pictures, 28 is small.")
    return Fraction(fps).limit_denominator(1001)


def _checked(pictures: Iterable[Shaped[np.ndarray, "..."]], name: str) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The same pictures, each looked at before it is encoded."""
    expected: tuple[int, ...] | None = None
    for row, picture in enumerate(pictures):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise InvalidInput(
                f"A picture is (height, width, 3) uint8; row {row} of {name} is {picture.dtype}{list(picture.shape)}."
            )
        if max(picture.shape) > LARGEST:
            raise InvalidInput(f"Row {row} of {name} is {_size(picture)} pixels; H.264 takes {LARGEST} a side at most.")
        if picture.shape != (expected := expected or picture.shape):
            raise InvalidInput(
                f"All pictures of a video have one size. Row {row} of {name} is {_size(picture)} pixels, the rows "
                f"before it are {expected[1]} x {expected[0]}. Pad or scale them first."
            )
        yield picture


def _size(picture: UInt8[np.ndarray, "h w 3"]) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"


def _encode(
    path: Path,
    pictures: Iterable[UInt8[np.ndarray, "h w 3"]],
    shape: tuple[int, ...],
    rate: Fraction,
    options: dict[str, str],
) -> int:
    """Write the file; returns the number of frames."""
    import av

    count = 0
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = _stream(container, shape, rate, options)
        for count, frame in enumerate(video_frames(pictures), start=1):
            frame.pts, frame.duration, frame.time_base = count - 1, 1, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return count


def _stream(container: OutputContainer, shape: tuple[int, ...], rate: Fraction, options: dict[str, str]) -> VideoStream:
    stream = container.add_stream(ENCODER, rate=rate, options=options)
    context = stream.codec_context
    context.height, context.width = (side + side % 2 for side in shape[:2])
    context.pix_fmt, context.time_base, context.thread_count = "yuv420p", 1 / rate, 1
    context.colorspace, context.color_primaries, context.color_trc = BT709, BT709, SRGB
    context.color_range = LIMITED
    return stream


def video_frames(pictures: Iterable[UInt8[np.ndarray, "h w 3"]]) -> Iterator[VideoFrame]:
    """Pictures in the encoder's own colours: exact rounding, and the mean colour of each 2 x 2 pixels."""
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()
    for picture in pictures:
        height, width, _ = picture.shape
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        yield reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(even), "rgb24"),
            format="yuv420p",
            dst_colorspace=BT709,
            dst_color_range=LIMITED,
            interpolation=AREA | FULL_CHROMA | ACCURATE | BITEXACT,
            threads=1,
        )
