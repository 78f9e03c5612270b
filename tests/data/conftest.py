"""Small videos whose every frame tells its own number."""

import fractions
import pathlib
from collections.abc import Callable

import av
import numpy as np
import pytest

# Brightness of frame i: far enough apart to be told after lossy coding, and 40 of them fit into a byte.
STEP = 6

WriteVideo = Callable[..., pathlib.Path]


def numbered_frames(count: int, height: int = 24, width: int = 32) -> np.ndarray:
    """Frames of even brightness STEP * (i % 40) whose upper left quarter is 15 brighter."""
    levels = STEP * (np.arange(count) % 40)
    frames = np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).astype(np.uint8)
    frames[:, : height // 2, : width // 2] += 15
    return frames


def frame_numbers(clip: np.ndarray) -> list[int]:
    """The number that each frame of a clip of `numbered_frames` carries, read from its lower right quarter."""
    height, width = clip.shape[1:3]
    return np.round(clip[:, height * 5 // 8 :, width * 5 // 8 :].mean((1, 2, 3)) / STEP).astype(int).tolist()


@pytest.fixture(scope="session")
def write_video() -> WriteVideo:
    """A function that encodes frames to a file: `write_video(path, frames, codec=, gop=, rotation=, rate=)`."""

    def write(
        path: pathlib.Path,
        frames: np.ndarray,
        *,
        codec: str = "libx264",
        gop: int = 12,
        rotation: int = 0,
        rate: int | fractions.Fraction = 12,
    ) -> pathlib.Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream(codec, rate=rate, options={"crf": "10"})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv444p" if frames.shape[1] % 2 or frames.shape[2] % 2 else "yuv420p"
            stream.codec_context.gop_size = gop
            if rotation:
                stream.set_display_rotation(rotation)
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="session")
def numbered() -> Callable[..., np.ndarray]:
    """`numbered_frames`, for the tests."""
    return numbered_frames


@pytest.fixture(scope="session")
def numbers_of() -> Callable[[np.ndarray], list[int]]:
    """`frame_numbers`, for the tests."""
    return frame_numbers


@pytest.fixture(scope="session")
def video_folder(tmp_path_factory: pytest.TempPathFactory, write_video: WriteVideo) -> pathlib.Path:
    """Seven good videos of 5 to 23 frames and one broken, with `all.csv`, `good.csv` and `counted.csv`."""
    folder = tmp_path_factory.mktemp("videos")
    rows = []
    for number in range(7):
        frames = 5 + 3 * number
        write_video(folder / f"v{number}.mp4", numbered_frames(frames, 32, 40))
        rows.append((f"v{number}.mp4", ("clap", "wave")[number % 2], frames))
    (folder / "broken.mp4").write_bytes(b"not a video" * 50)
    good = "".join(f"{path},{label}\n" for path, label, _ in rows)
    (folder / "good.csv").write_text("path,label\n" + good)
    (folder / "all.csv").write_text("path,label\n" + good + "broken.mp4,wave\n")
    (folder / "counted.csv").write_text("path,label,frames\n" + "".join(f"{p},{n},{f}\n" for p, n, f in rows))
    return folder
