"""Small videos that differ in what classifying them depends on: rate, times, length, size, shape, rotation, colours."""

import fractions
import pathlib

import av
import numpy as np
from small_videos import moving_texture

# (frames, height, width), then what else is special.
VIDEOS = {
    "plain.mp4": ((40, 48, 64), {}),
    "portrait.mp4": ((30, 90, 50), {"rate": 12}),
    "odd.mkv": ((30, 37, 61), {"rate": 30, "codec": "ffv1", "pixels": "yuv444p"}),
    "turned.mp4": ((30, 48, 64), {"matrix": (0, 1, -1, 0)}),
    "mirrored.mp4": ((30, 60, 44), {"matrix": (-1, 0, 0, 1)}),
    "short.mp4": ((3, 48, 64), {}),
    "single.mp4": ((1, 48, 64), {}),
    "tiny.mp4": ((20, 16, 20), {}),
    "uneven.webm": ((30, 48, 64), {"codec": "libvpx-vp9", "uneven": True}),
    "packed.avi": ((30, 48, 64), {"codec": "mpeg4", "rate": 10}),
    "bt709_full.mp4": ((20, 48, 64), {"matrix_of_colours": 1, "range_of_colours": 2}),
}


def write_varied_videos(folder: pathlib.Path, names: tuple[str, ...] = tuple(VIDEOS)) -> list[pathlib.Path]:
    """Encodes them.

    Args:
      folder: an existing folder.
      names: which of `VIDEOS`.

    Returns:
      The files.
    """
    return [_write(folder / name, *VIDEOS[name]) for name in names]


def _write(
    path: pathlib.Path,
    shape: tuple[int, int, int],
    special: dict,
) -> pathlib.Path:
    rate = special.get("rate", 25)
    codec = special.get("codec", "libx264")
    gaps = np.random.default_rng(0).integers(20, 60, shape[0]) if special.get("uneven") else None
    unit = fractions.Fraction(1, rate) if gaps is None else fractions.Fraction(1, 1000)
    times = range(shape[0]) if gaps is None else (np.cumsum(gaps) - gaps[0]).tolist()
    options = {"cpu-used": "8", "deadline": "realtime"} if codec == "libvpx-vp9" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = shape[1:]
        stream.pix_fmt = special.get("pixels", "yuv420p")
        stream.codec_context.time_base = unit
        stream.codec_context.colorspace = special.get("matrix_of_colours", 2)
        stream.codec_context.color_range = special.get("range_of_colours", 0)
        if "matrix" in special:
            a, b, c, d = special["matrix"]
            stream.set_display_matrix([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30])
        for time, picture in zip(times, moving_texture(*shape), strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = time, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
