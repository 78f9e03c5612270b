"""A small download: short videos and one long video with several clips in it, and one of JPEG folders."""

import pathlib
from collections.abc import Callable

import cv2
import pytest

from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset


@pytest.fixture(scope="session")
def videos(tmp_path_factory, write_video, numbered) -> pathlib.Path:
    """Five short videos `v0.mp4` ... of 6 to 14 frames, and `long.mp4` of 96 frames at 12 frames a second."""
    folder = tmp_path_factory.mktemp("download")
    for number in range(5):
        write_video(folder / f"v{number}.mp4", numbered(6 + 2 * number, 32, 48))
    write_video(folder / "long.mp4", numbered(96, 32, 48))
    (folder / "broken.mp4").write_bytes(b"not a video" * 50)
    return folder


@pytest.fixture(scope="session")
def video_source() -> Callable[..., SourceDataset]:
    """A function that describes the videos of a folder: 8 training clips, 3 validation clips."""

    def describe(folder: pathlib.Path, *further: SourceClip) -> SourceDataset:
        whole = [SourceClip(f"v{n}", str(folder / f"v{n}.mp4"), ("clap", "wave")[n % 2]) for n in range(5)]
        parts = [
            SourceClip(f"long-{n}", str(folder / "long.mp4"), "wave", 2.0 * n + 0.5, 2.0 * n + 2) for n in range(3)
        ]
        splits = {"train": (*whole, *parts, *further), "validation": tuple(whole[:3])}
        return SourceDataset("list", ("clap", "nod", "wave"), splits)

    return describe


@pytest.fixture(scope="session")
def jpeg_source(tmp_path_factory, numbered) -> SourceDataset:
    """Three clips as folders of 4 to 6 JPEG files."""
    folder = tmp_path_factory.mktemp("frames")
    for number in range(3):
        (folder / str(number)).mkdir()
        for index, frame in enumerate(numbered(4 + number, 24, 33), start=1):
            cv2.imwrite(str(folder / str(number) / f"{index:05d}.jpg"), frame)
    clips = tuple(SourceClip(str(number), str(folder / str(number)), "nod") for number in range(3))
    return SourceDataset("jester", ("clap", "nod"), {"train": clips})


@pytest.fixture(scope="session")
def files_of() -> Callable[[pathlib.Path], dict[str, bytes]]:
    """A function that reads every file below a folder."""

    def read(folder: pathlib.Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return read
