"""Preparation: every video decoded, a list with frame counts written, and the bad ones named."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from motion_vit.data.preparation import prepare_list
from motion_vit.data.video_list import ListFileError, read_video_list
from motion_vit.errors import UserError


@pytest.fixture
def folder(tmp_path, video_folder):
    return pathlib.Path(shutil.copytree(video_folder, tmp_path / "videos"))


def test_the_written_list_is_ready_for_training(folder, tmp_path):
    report = prepare_list(folder / "good.csv", tmp_path / "out", progress=False)
    assert report.list_file == tmp_path / "out" / "good.csv"
    source, prepared = read_video_list(folder / "good.csv"), read_video_list(report.list_file)
    assert prepared.paths == source.paths
    assert prepared.label_names == source.label_names
    np.testing.assert_array_equal(prepared.labels, source.labels)
    np.testing.assert_array_equal(prepared.frames, 5 + 3 * np.arange(7))
    lines = report.list_file.read_text().splitlines()
    assert lines[0] == "path,label,frames,fps,width,height"
    assert lines[1] == "../videos/v0.mp4,clap,5,12,40,32"


def test_the_report_counts_what_is_there(folder, tmp_path):
    report = prepare_list(folder / "good.csv", tmp_path / "out", progress=False)
    assert (report.videos, report.frames, report.bad) == (7, 98, ())
    assert report.videos_of_class == {"clap": 4, "wave": 3}
    assert report.seconds == pytest.approx(98 / 12, rel=0.02)
    written = json.loads(report.report_file.read_text())
    assert written["fingerprint"] == report.fingerprint
    assert written["videos_of_class"] == report.videos_of_class
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.csv", "good_report.json", "labels.txt"]


def test_worker_processes_find_the_same(folder, tmp_path):
    alone = prepare_list(folder / "all.csv", tmp_path / "one", workers=1, progress=False, skip_bad=True)
    together = prepare_list(folder / "all.csv", tmp_path / "two", workers=2, progress=False, skip_bad=True)
    assert alone.list_file.read_text() == together.list_file.read_text()
    assert alone.bad == together.bad
    assert alone.fingerprint == together.fingerprint


def test_bad_videos_stop_the_preparation_with_their_paths_and_reasons(folder, tmp_path):
    (folder / "v2.mp4").unlink()
    with pytest.raises(UserError) as caught:
        prepare_list(folder / "all.csv", tmp_path / "out", progress=False)
    message = str(caught.value)
    assert message.startswith("2 of 8 videos cannot be used:")
    assert f"{folder / 'v2.mp4'}: the file does not exist" in message
    assert f"{folder / 'broken.mp4'}: the file is damaged" in message
    assert "--skip-bad" in message
    assert not (tmp_path / "out" / "all.csv").exists()
    assert len(json.loads((tmp_path / "out" / "all_report.json").read_text())["bad"]) == 2


def test_bad_videos_can_be_left_out(folder, tmp_path):
    report = prepare_list(folder / "all.csv", tmp_path / "out", progress=False, skip_bad=True)
    assert [pathlib.Path(video.path).name for video in report.bad] == ["broken.mp4"]
    assert len(read_video_list(report.list_file)) == report.videos == 7


def test_a_list_of_bad_videos_only_is_an_error_even_then(folder, tmp_path):
    (folder / "bad.csv").write_text("path,label\nbroken.mp4,wave\n")
    with pytest.raises(UserError, match="1 of 1 videos cannot be used"):
        prepare_list(folder / "bad.csv", tmp_path / "out", progress=False, skip_bad=True)


def test_a_corrupt_real_video_is_reported_with_its_path(shared_clips, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(f"path,label\n{shared_clips}/mma_demo.mp4,a\n{shared_clips}/decord_corrupted.mp4,b\n")
    with pytest.raises(UserError, match=r"decord_corrupted\.mp4: the file is damaged.*after \d+ of 50 frames"):
        prepare_list(path, tmp_path / "out", progress=False)


def test_later_lists_take_over_the_labels_of_the_first(folder, tmp_path):
    prepare_list(folder / "good.csv", tmp_path / "out", progress=False)
    (folder / "test.csv").write_text("path,label\nv1.mp4,wave\n")
    report = prepare_list(folder / "test.csv", tmp_path / "out", progress=False)
    prepared = read_video_list(report.list_file)
    assert prepared.label_names == ("clap", "wave")
    np.testing.assert_array_equal(prepared.labels, [1])
    (folder / "other.csv").write_text("path,label\nv1.mp4,nod\n")
    with pytest.raises(ListFileError, match=r"unknown label 'nod'.*\n.*labels\.txt, written when another list"):
        prepare_list(folder / "other.csv", tmp_path / "out", progress=False)


def test_videos_elsewhere_are_written_with_absolute_paths(folder, tmp_path):
    report = prepare_list(folder / "good.csv", tmp_path / "far" / "out", progress=False)
    assert report.list_file.read_text().splitlines()[1].startswith(f"{folder}/v0.mp4,")


def test_the_fingerprint_follows_the_data_and_not_its_place(folder, tmp_path):
    report = prepare_list(folder / "good.csv", tmp_path / "out", progress=False)
    moved = folder.rename(tmp_path / "moved")
    again = prepare_list(moved / "good.csv", tmp_path / "again", progress=False)
    assert again.fingerprint == report.fingerprint
    shutil.copy(moved / "v5.mp4", moved / "v6.mp4")
    changed = prepare_list(moved / "good.csv", tmp_path / "changed", progress=False)
    assert changed.fingerprint != report.fingerprint


def test_a_list_is_never_overwritten_by_its_own_preparation(folder):
    before = (folder / "good.csv").read_text()
    with pytest.raises(UserError, match="would overwrite it"):
        prepare_list(folder / "good.csv", folder, progress=False)
    assert (folder / "good.csv").read_text() == before


def test_progress_shows_the_time_left_and_the_bad_ones(folder, tmp_path, capsys):
    prepare_list(folder / "all.csv", tmp_path / "out", skip_bad=True)
    shown = capsys.readouterr().err
    assert "checking videos: 100%" in shown
    assert "bad=1" in shown
