"""Small videos of moving texture in every container and codec that decoders treat differently, encoded by the tests."""

import dataclasses
import fractions
import pathlib

import av
import numpy as np
import pytest

FRAMES = 50
HEIGHT, WIDTH = 48, 64
RATE = 25


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How a small video is encoded: the ending of its name, FFmpeg's encoder, options of both."""

    suffix: str
    encoder: str
    options: dict[str, str]
    first_pts: int = 0
    container: dict[str, str] = dataclasses.field(default_factory=dict)


_X264 = {"crf": "23", "preset": "veryfast", "threads": "1"}
# One thread, because on few cores a pool of threads may wait for ever, and without the block tree, which writes outside
# of its memory where frames are smaller than 64 pixels.
SAFE_X265 = "log-level=none:pools=none:frame-threads=1:cutree=0"
_VPX = {"b": "200k", "cpu-used": "5", "lag-in-frames": "16", "auto-alt-ref": "1"}

ENCODINGS = {
    "h264 with B-frames": Encoding(".mp4", "libx264", _X264 | {"bf": "3"}),
    "h264 with referenced B-frames": Encoding(".mkv", "libx264", _X264 | {"bf": "4", "b-pyramid": "normal"}),
    "h264 without B-frames": Encoding(".mov", "libx264", _X264 | {"bf": "0"}),
    "h264 with open groups": Encoding(".mp4", "libx264", _X264 | {"x264-params": "open-gop=1:bframes=3:scenecut=0"}),
    "h264 with open groups, mkv": Encoding(".mkv", "libx264", _X264 | {"x264-params": "open-gop=1:bframes=3"}),
    "h264 refreshed column by column": Encoding(".mp4", "libx264", _X264 | {"x264-params": "intra-refresh=1"}),
    "h264 that starts late": Encoding(".mp4", "libx264", _X264, first_pts=100),
    "h264 in avi": Encoding(".avi", "libx264", _X264 | {"bf": "3"}),
    "h264 in a transport stream": Encoding(".ts", "libx264", _X264 | {"bf": "3"}),
    "mpeg4 in avi": Encoding(".avi", "mpeg4", {}),
    "mpeg4 with B-frames in avi": Encoding(".avi", "mpeg4", {"bf": "2"}),
    "mpeg2": Encoding(".mpg", "mpeg2video", {"bf": "2"}),
    "vp9": Encoding(".webm", "libvpx-vp9", _VPX),
    "vp9 in mp4": Encoding(".mp4", "libvpx-vp9", _VPX),
    "vp8": Encoding(".webm", "libvpx", _VPX),
    "hevc": Encoding(".mp4", "libx265", {"x265-params": f"{SAFE_X265}:open-gop=1:bframes=3"}),
    "hevc with temporal layers": Encoding(
        ".mkv", "libx265", {"x265-params": f"{SAFE_X265}:temporal-layers=3:bframes=4"}
    ),
}


def moving_texture(frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Frames of random blocks that move by (2, 3) pixels each, so that no two are alike: uint8 [T, H, W, 3]."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, ((height + 2 * frames) // 8 + 1, (width + 3 * frames) // 8 + 1, 3), dtype=np.uint8)
    texture = blocks.repeat(8, 0).repeat(8, 1)
    return np.stack([texture[2 * i : 2 * i + height, 3 * i : 3 * i + width] for i in range(frames)])


def encode(path: pathlib.Path, encoding: Encoding, clip: np.ndarray, *, gop: int = 12) -> pathlib.Path:
    """Writes the clip as a video file with a keyframe at least every `gop` frames."""
    with av.open(str(path), "w", options=encoding.container) as container:
        stream = container.add_stream(encoding.encoder, rate=RATE, options=encoding.options)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        for number, picture in enumerate(clip):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = encoding.first_pts + number, fractions.Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def encode_sample(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Writes the video that `ENCODINGS` calls `name` into a folder; skips the test where FFmpeg lacks the encoder."""
    encoding = ENCODINGS[name]
    if encoding.encoder not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no encoder {encoding.encoder}")
    return encode(folder / f"{name.replace(' ', '_')}{encoding.suffix}", encoding, moving_texture())


def decode_all(path: pathlib.Path) -> np.ndarray:
    """Every frame in the order in which FFmpeg's decoder gives them, from the start: uint8 [T, H, W, 3] RGB."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
