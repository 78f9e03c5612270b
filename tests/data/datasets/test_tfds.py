"""Sets of tensorflow_datasets, prepared into folders of this library."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
from small_tfds import BYTES, class_label, pictures, write_tfds

from motion_vit.data.datasets.registry import read_dataset
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.sources.open_source import open_source
from motion_vit.data.video.decoding import decode_frames
from motion_vit.errors import UserError


@pytest.fixture
def clips(numbered: Callable[..., np.ndarray]) -> list[dict[str, object]]:
    """Five clips of 4 to 8 PNG files, of which one has no class and another a frame that is none."""
    clips = [{"video": pictures(numbered(4 + number)), "label": number % 2} for number in range(5)]
    clips[1]["label"] = -1
    clips[2]["video"] = [*clips[2]["video"][:3], b"none"]
    return clips


@pytest.mark.parametrize("codec", ["copy", "h264-fast"])
def test_a_set_becomes_a_prepared_folder_without_its_bad_examples(
    clips: list[dict[str, object]],
    codec: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    numbers_of: Callable[[np.ndarray], list[int]],
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    write_tfds(tmp_path / "waves" / "1.0.0", {"train": clips, "test": clips[:1]}, label_names=("clap", "wave it"))
    source = read_dataset("tfds", "waves", {})
    assert source.mismatches == (
        "tfds:waves:train: 1 record left out, the first: its class is [-1]; expected one number from 0 to 1, and a "
        "clip without a class cannot be used",
    )
    report = prepare_dataset(source, tmp_path / "out", codec=codec, skip_bad=True, verify=True, progress=False)
    [bad] = report.manifest.splits["train"].bad
    assert bad.id == "train/2"
    prepared = open_source(tmp_path / "out", default_split="train")
    assert prepared.label_names == ("clap", "wave it")
    assert [(clip.id, clip.label, clip.frames) for clip in prepared] == [
        ("train/0", 0, 4),
        ("train/3", 1, 7),
        ("train/4", 0, 8),
    ]
    assert numbers_of(decode_frames(prepared[2].video, range(8))) == list(range(8))
    again = prepare_dataset(source, tmp_path / "out", codec=codec, skip_bad=True, verify=True, progress=False)
    assert again.reused == 5 - 1 + 1


def test_video_files_in_records_are_copied(
    tmp_path: pathlib.Path, write_video: Callable[..., pathlib.Path], numbered: Callable[..., np.ndarray]
) -> None:
    film = write_video(tmp_path / "film.mp4", numbered(6)).read_bytes()
    features = {"file": BYTES, "label": class_label(1)}
    folder = write_tfds(
        tmp_path / "films" / "1.0.0", {"train": [{"file": film, "label": 0}]}, label_names=("a",), features=features
    )
    source = read_dataset("tfds", f"{folder}:train?video=file", {})
    prepare_dataset(source, tmp_path / "out", progress=False)
    assert open_source(tmp_path / "out", default_split="train")[0].video.data == film


def test_a_slice_and_a_set_in_place_of_a_download_are_told(
    clips: list[dict[str, object]], tmp_path: pathlib.Path
) -> None:
    folder = write_tfds(tmp_path / "waves" / "1.0.0", {"train": clips}, label_names=("clap", "wave"))
    with pytest.raises(UserError, match=r"names a slice, train\[:2\], and whole splits are prepared"):
        read_dataset("tfds", f"{folder}:train[:2]", {})
    with pytest.raises(UserError, match="does not look like ucf101, but like tfds: run `motion-vit prepare tfds"):
        read_dataset("ucf101", folder, {})
