"""Datasets whose looks follow labels, and the sets that measure what a model makes of it."""

import csv
import json
import pathlib
import shutil

import numpy as np
import pytest

from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.data.embedded.dataset_parameters import DatasetParameters
from motion_vit.data.embedded.motion_scenes import MOTION_CLASSES, render_clip
from motion_vit.data.embedded.static_bias_sets import StaticBiasSets, render_static_bias_sets
from motion_vit.data.video.decoding import decode_frames
from motion_vit.errors import UserError

SMALL = {"splits": {"train": 4, "validation": 8}, "size": 32, "frames": (4, 6), "workers": 1, "progress": False}
MANY = {"train": 2000, "validation": 2000}


def rows_of(path: pathlib.Path) -> list[tuple[str, str]]:
    with path.open(newline="") as file:
        return [(row["path"], row["label"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A small biased dataset."""
    folder = tmp_path_factory.mktemp("biased")
    render_dataset(folder, **SMALL, appearance_bias=0.9)
    return folder


@pytest.fixture(scope="module")
def sets(folder: pathlib.Path) -> StaticBiasSets:
    """The sets of its validation videos."""
    return render_static_bias_sets(folder, rows_of(folder / "validation.csv"), name="validation", progress=False)


def pictures(path: pathlib.Path) -> list[np.ndarray]:
    """The first frames of all videos of a list."""
    return [decode_frames(path.parent / name, [0, 1, 2, 3]).astype(float) for name, _ in rows_of(path)]


@pytest.mark.parametrize(("looks", "share"), [("biased", 0.9), ("unbiased", 0.1), ("conflicting", 0.0)])
def test_looks_follow_labels_with_their_probability(looks: str, share: float) -> None:
    parameters = DatasetParameters(MANY, 32, (4, 6), 0, 0.9, {"validation": looks})
    videos = parameters.videos("validation")
    own = np.mean([video.look == video.label for video in videos])
    assert own == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / len(videos)))
    others = [video.look for video in videos if video.look != video.label]
    assert {video.look for video in videos} == set(MOTION_CLASSES)
    assert max(others.count(name) for name in MOTION_CLASSES) < 2 * len(others) / len(MOTION_CLASSES) + 10
    assert np.mean([video.look == video.label for video in parameters.videos("train")]) == pytest.approx(0.9, abs=0.03)


def test_nothing_but_looks_changes_with_the_bias(folder: pathlib.Path) -> None:
    biased = DatasetParameters.read(folder)
    plain = DatasetParameters(biased.splits, biased.size, biased.frames, biased.seed)
    assert "appearance_bias" not in plain.to_dict()
    for one, other in zip(biased.videos("validation"), plain.videos("validation"), strict=True):
        assert (one.name, one.label, one.frames) == (other.name, other.label, other.frames)
        assert one.seed.spawn_key == other.seed.spawn_key
        assert other.look is None
    video = biased.videos("validation")[0]
    expected = render_clip(video.label, video.seed, frames=video.frames, size=32, look=video.look).astype(float)
    assert np.abs(pictures(folder / "validation.csv")[0] - expected[:4]).mean() < 8


def test_every_set_has_the_same_videos_in_the_same_order(folder: pathlib.Path, sets: StaticBiasSets) -> None:
    labels = [label for _, label in rows_of(folder / "validation.csv")]
    for path in (*sets.scuba.values(), *sets.scufo.values(), sets.conflict):
        assert [label for _, label in rows_of(path)] == labels
    assert all(look != label for look, label in zip(sets.looks, labels, strict=True))
    assert len(set(sets.looks)) > 3


def test_scuba_moves_before_a_still_picture_and_scufo_does_not_move(sets: StaticBiasSets) -> None:
    for background in ("texture", "stripes"):
        moving, still = pictures(sets.scuba[background]), pictures(sets.scufo[background])
        for clip, frozen in zip(moving, still, strict=True):
            change, noise = (np.abs(np.diff(each, axis=0)).mean(axis=(1, 2, 3)).max() for each in (clip, frozen))
            # Encoding changes what stands still a little.
            assert noise < 0.5 * change


def test_conflicting_videos_show_the_same_motion_before_another_background(
    folder: pathlib.Path, sets: StaticBiasSets
) -> None:
    videos = DatasetParameters.read(folder).videos("validation")
    for video, look, clip in zip(videos, sets.looks, pictures(sets.conflict), strict=True):
        clean = {
            name: render_clip(video.label, video.seed, frames=video.frames, size=32, look=name)[:4].astype(float)
            for name in (look, video.label)
        }
        near = {name: np.abs(clip - each).mean() for name, each in clean.items()}
        assert near[look] < near[video.label]


def test_sets_are_rendered_once_and_for_lines_of_a_list(folder: pathlib.Path, sets: StaticBiasSets) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "static_bias" / "videos").rglob("*.*")}
    some = render_static_bias_sets(folder, rows_of(folder / "validation.csv")[:5], name="some", progress=False)
    assert rows_of(some.scuba["texture"]) == rows_of(sets.scuba["texture"])[:5]
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"appearance_bias": 0}, "appearance_bias is 0, but must be a number above 0"),
        ({"appearance_bias": 1.5}, r"appearance_bias is 1\.5"),
        ({"looks": {"validation": "unbiased"}}, "without appearance_bias they have nothing to do with them"),
        ({"appearance_bias": 0.9, "looks": {"test": "unbiased"}}, "looks names the split 'test', but the splits are"),
        ({"appearance_bias": 0.9, "looks": {"train": "odd"}}, "must be one of biased, unbiased, conflicting"),
    ],
)
def test_arguments_of_looks_are_checked(tmp_path: pathlib.Path, arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        render_dataset(tmp_path / "videos", **SMALL, **arguments)
    assert not (tmp_path / "videos").exists()


def write_parameters(folder: pathlib.Path, **changes: object) -> pathlib.Path:
    """The parameters of a biased dataset, without its videos."""
    values = DatasetParameters({"train": 4, "validation": 12}, 32, (4, 6), 0, 0.9).to_dict() | changes
    (folder / "dataset.json").write_text(json.dumps(values))
    return folder


def test_videos_without_masks_are_refused_with_what_is_needed(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    clips = rows_of(folder / "validation.csv")

    def complaint(place: pathlib.Path, videos: list[tuple[str, str]] = clips) -> str:
        with pytest.raises(UserError) as raised:
            render_static_bias_sets(place, videos, name="x", progress=False)
        return str(raised.value)

    assert "the masks of the videos are not known" in complaint(tmp_path)
    assert "motion-vit render" in complaint(tmp_path)
    assert "is damaged: seed is 'x'" in complaint(write_parameters(tmp_path, seed="x"))
    assert "is of version 7 of the renderer" in complaint(write_parameters(tmp_path, renderer_version=7))
    conflicting = write_parameters(tmp_path, looks={"validation": "conflicting"})
    assert "has conflicting looks" in complaint(conflicting)
    plain = DatasetParameters({"validation": 12}, 32, (4, 6), 0).to_dict()
    (tmp_path / "dataset.json").write_text(json.dumps(plain))
    assert "rendered without --appearance-bias" in complaint(tmp_path)
    assert "has no video videos/other.mp4" in complaint(folder, [("videos/other.mp4", "up")])
    one = [clip for clip in clips if clip[1] == clips[0][1]]
    assert f"are all of the class {clips[0][1]!r}" in complaint(folder, one)
    assert not (tmp_path / "static_bias").exists()


def test_sets_of_another_dataset_are_not_taken(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True)
    write_parameters(tmp_path / "copy", seed=1)
    clips = [(video.name, video.label) for video in DatasetParameters.read(tmp_path / "copy").videos("validation")]
    (tmp_path / "copy" / "static_bias").mkdir(exist_ok=True)
    (tmp_path / "copy" / "static_bias" / "static_bias.json").write_text("{}")
    with pytest.raises(UserError, match="holds a dataset with other parameters"):
        render_static_bias_sets(tmp_path / "copy", clips, name="validation", progress=False)
