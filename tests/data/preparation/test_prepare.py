"""Preparation: shards, manifest and metadata out of a download, the same at any number of workers."""

import collections
import dataclasses
import errno
import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.preparation.plan import clips_a_shard
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.sources.manifest import read_manifest
from motion_vit.data.sources.prepared_dataset import open_prepared
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.encoded_video import JpegFrames, VideoBytes
from motion_vit.data.video.probing import probe_video
from motion_vit.errors import UserError


def clip_frames(clip):
    return decode_frames(clip.video, np.arange(clip.frames) + clip.first_frame)


def test_whole_videos_are_stored_as_they_are(videos, video_source, tmp_path):
    prepare_dataset(video_source(videos), tmp_path / "out", progress=False)
    split = open_prepared(tmp_path / "out", "train")
    for row in range(5):
        assert split[row].video.data == (videos / f"v{row}.mp4").read_bytes()
        assert (split[row].id, split[row].first_frame, split[row].frames) == (f"v{row}", 0, 6 + 2 * row)


@pytest.mark.parametrize("codec", ["copy", "h264-fast"])
def test_parts_of_a_long_video_hold_exactly_their_frames(videos, video_source, tmp_path, codec, numbers_of):
    prepare_dataset(video_source(videos), tmp_path / "out", codec=codec, progress=False)
    split = open_prepared(tmp_path / "out", "train")
    parts = {split[row].id: numbers_of(clip_frames(split[row])) for row in range(5, 8)}
    assert parts == {
        f"long-{number}": [frame % 40 for frame in range(24 * number + 6, 24 * number + 24)] for number in range(3)
    }


def test_jpeg_folders_are_bundled_as_they_are(jpeg_source, tmp_path):
    report = prepare_dataset(jpeg_source, tmp_path / "out", progress=False)
    assert report.manifest.storage == "jpegs"
    clip = open_prepared(tmp_path / "out", "train")[1]
    folder = jpeg_source.splits["train"][1].path
    assert isinstance(clip.video, JpegFrames)
    assert clip.video.frames == tuple(pathlib.Path(folder, f"{n:05d}.jpg").read_bytes() for n in range(1, 6))
    np.testing.assert_array_equal(clip_frames(clip), decode_frames(folder, range(5)))


def test_jpeg_folders_can_be_encoded_as_video(jpeg_source, tmp_path):
    prepare_dataset(jpeg_source, tmp_path / "out", codec="h264-fast", progress=False)
    clip = open_prepared(tmp_path / "out", "train")[2]
    assert isinstance(clip.video, VideoBytes)
    info = probe_video(clip.video)
    assert (info.frames, info.height, info.width, info.fps, info.codec) == (6, 24, 34, 12.0, "h264")


def test_the_bytes_are_the_same_at_any_number_of_workers(videos, video_source, tmp_path, files_of):
    source = video_source(videos, SourceClip("broken", str(videos / "broken.mp4"), "nod"))
    for workers in (1, 2):
        out = tmp_path / str(workers)
        prepare_dataset(source, out, workers=workers, clips_per_shard=2, skip_bad=True, progress=False)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")
    assert len(list((tmp_path / "1").glob("list-train.array_record-*-of-00005"))) == 5


def test_the_fingerprint_follows_the_clips_and_not_their_place_or_shards(videos, video_source, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in videos.iterdir():
        os.link(path, moved / path.name)
    reports = [
        prepare_dataset(video_source(folder), tmp_path / name, clips_per_shard=size, progress=False)
        for folder, name, size in ((videos, "a", None), (moved, "b", 3))
    ]
    first, second = (report.manifest.splits["train"].fingerprint for report in reports)
    assert first == second
    source = video_source(videos)
    relabelled = SourceClip("v0", source.splits["train"][0].path, "nod")
    changed = SourceDataset("list", source.label_names, {"train": (relabelled, *source.splits["train"][1:])})
    report = prepare_dataset(changed, tmp_path / "c", progress=False)
    assert report.manifest.splits["train"].fingerprint != first


def test_the_manifest_counts_what_is_there(videos, video_source, tmp_path):
    report = prepare_dataset(video_source(videos), tmp_path / "out", progress=False)
    assert read_manifest(tmp_path / "out") == report.manifest
    train = report.manifest.splits["train"]
    assert (train.clips, train.frames, train.bad) == (8, 6 + 8 + 10 + 12 + 14 + 3 * 18, ())
    assert train.seconds == pytest.approx(train.frames / 12, abs=1e-3)
    assert train.clips_of_class == {"clap": 3, "nod": 0, "wave": 5}
    assert report.bytes == sum(path.stat().st_size for path in (tmp_path / "out").glob("list-*"))
    assert "train: 8 clips" in report.summary()
    assert "classes without a clip: 1: nod" in report.summary()


def test_differences_from_the_official_counts_are_kept(jpeg_source, tmp_path):
    source = SourceDataset("jester", jpeg_source.label_names, jpeg_source.splits, ("train: 3 clips, expected 118,562",))
    prepare_dataset(source, tmp_path / "out", progress=False)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["mismatches"] == list(source.mismatches)


def test_bad_clips_stop_the_preparation_after_the_others_are_done(videos, video_source, tmp_path):
    bad = [
        SourceClip("broken", str(videos / "broken.mp4"), "nod"),
        SourceClip("gone", str(videos / "gone.mp4"), "nod"),
        SourceClip("late", str(videos / "long.mp4"), "nod", 9.0, 10.0),
        SourceClip("backwards", str(videos / "long.mp4"), "nod", 3.0, 2.0),
    ]
    source = video_source(videos, *bad)
    with pytest.raises(UserError) as caught:
        prepare_dataset(source, tmp_path / "out", progress=False)
    message = str(caught.value)
    assert message.startswith("4 of 15 clips cannot be used:")
    assert f"{videos / 'broken.mp4'}: it is a text, not a video" in message
    assert f"{videos / 'gone.mp4'}: the file does not exist" in message
    assert "no frame from 9 s to 10 s: it lasts 8.000 s" in message
    assert "it is listed from 3.0 s to 2.0 s" in message
    assert "--skip-bad" in message
    assert not (tmp_path / "out" / "dataset_info.json").exists()
    with pytest.raises(UserError, match=r"is not ready: 4 clips cannot be used:\n  broken: it is a text, not a video"):
        open_prepared(tmp_path / "out", "train")
    report = prepare_dataset(source, tmp_path / "out", skip_bad=True, progress=False)
    assert report.reused == 15
    assert [clip.id for clip in report.bad] == ["broken", "gone", "late", "backwards"]
    assert len(open_prepared(tmp_path / "out", "train")) == 8


def test_an_accepted_dataset_stays_readable_when_asked_for_without_skipping(videos, video_source, tmp_path):
    source = video_source(videos, SourceClip("gone", str(videos / "gone.mp4"), "nod"))
    prepare_dataset(source, tmp_path / "out", skip_bad=True, progress=False)
    with pytest.raises(UserError, match="1 of 12 clips cannot be used"):
        prepare_dataset(source, tmp_path / "out", progress=False)
    assert len(open_prepared(tmp_path / "out", "train")) == 8


def test_a_split_without_a_good_clip_is_refused_even_when_skipping(videos, video_source, tmp_path):
    source = video_source(videos)
    broken = SourceClip("broken", str(videos / "broken.mp4"), "nod")
    source = SourceDataset("list", source.label_names, {"train": source.splits["train"], "test": (broken,)})
    with pytest.raises(UserError, match="the split test would have no clips"):
        prepare_dataset(source, tmp_path / "out", skip_bad=True, progress=False)
    with pytest.raises(UserError, match="is not ready"):
        open_prepared(tmp_path / "out", "train")


def test_a_wrong_folder_is_said_at_once(video_source, tmp_path):
    with pytest.raises(UserError, match=r"not one of the 6 videos of list exists, the first of them .*nowhere/v0\.mp4"):
        prepare_dataset(video_source(tmp_path / "nowhere"), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_verifying_finds_what_a_glance_does_not(videos, video_source, tmp_path, write_video):
    noise = np.random.default_rng(0).integers(0, 256, (24, 64, 64, 3)).astype(np.uint8)
    data = bytearray(write_video(tmp_path / "v.mp4", noise).read_bytes())
    end = slice(len(data) * 2 // 3, len(data))
    data[end] = bytes(len(data[end]))
    (tmp_path / "v.mp4").write_bytes(data)
    source = video_source(videos, SourceClip("damaged", str(tmp_path / "v.mp4"), "nod"))
    assert prepare_dataset(source, tmp_path / "glance", progress=False).bad == ()
    [bad] = prepare_dataset(source, tmp_path / "out", verify=True, skip_bad=True, progress=False).bad
    assert bad.id == "damaged"


def test_what_was_not_verified_is_not_taken_for_verified(videos, video_source, tmp_path):
    prepare_dataset(video_source(videos), tmp_path / "out", progress=False)
    assert prepare_dataset(video_source(videos), tmp_path / "out", verify=True, progress=False).reused == 0
    assert prepare_dataset(video_source(videos), tmp_path / "out", progress=False).reused == 11


def test_a_folder_before_all_files_costs_none_of_these(videos, video_source, tmp_path):
    (tmp_path / "stray.mp4").mkdir()
    whole = video_source(videos)
    splits = dict(whole.splits)
    splits["train"] = (SourceClip("stray", str(tmp_path / "stray.mp4"), "nod"), *splits["train"])
    report = prepare_dataset(dataclasses.replace(whole, splits=splits), tmp_path / "out", skip_bad=True, progress=False)
    assert [bad.id for bad in report.bad] == ["stray"]
    assert report.manifest.splits["train"].clips == len(whole.splits["train"])


def test_folders_among_files_are_named(videos, video_source, jpeg_source, tmp_path):
    source = video_source(videos, SourceClip("frames", jpeg_source.splits["train"][0].path, "nod"))
    with pytest.raises(UserError, match="it is a folder of JPEG frames in a dataset of video files"):
        prepare_dataset(source, tmp_path / "out", progress=False)
    report = prepare_dataset(source, tmp_path / "encoded", codec="h264-fast", progress=False)
    assert report.manifest.splits["train"].clips == 9


@pytest.mark.parametrize(
    ("clips", "labels", "message"),
    [
        ([("a", "clap"), ("a", "clap")], ["clap"], "the clip 'a' comes 2 times"),
        ([("a", "wave")], ["clap"], "the label 'wave' of the clip 'a' is not among the label names"),
        ([("a\udcff", "clap")], ["clap"], "is not valid UTF-8"),
        ([("a", "clap")], ["clap", "two\nlines"], "each be one line of text"),
        ([], ["clap"], "has no clips"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path, clips, labels, message):
    train = tuple(SourceClip(name, str(tmp_path / "v.mp4"), label) for name, label in clips)
    with pytest.raises(UserError, match=message):
        prepare_dataset(SourceDataset("list", tuple(labels), {"train": train}), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_an_unknown_codec_is_refused(videos, video_source, tmp_path):
    with pytest.raises(UserError, match="the codec must be copy or h264-fast; given 'hevc'"):
        prepare_dataset(video_source(videos), tmp_path / "out", codec="hevc", progress=False)


def test_progress_counts_bad_and_reused_clips(videos, video_source, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    source = video_source(videos, SourceClip("gone", str(videos / "gone.mp4"), "nod"))
    prepare_dataset(source, tmp_path / "out", skip_bad=True, clips_per_shard=3)
    assert "12/12" in capsys.readouterr().err
    (tmp_path / "out" / "list-validation.array_record-00000-of-00001").unlink()
    prepare_dataset(source, tmp_path / "out", skip_bad=True, clips_per_shard=3)
    shown = capsys.readouterr().err
    assert "bad=1, reused=9" in shown
    assert "12/12" in shown


def test_little_space_is_said_at_the_start(videos, video_source, tmp_path, monkeypatch, caplog):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(10, 9, 1))
    prepare_dataset(video_source(videos), tmp_path / "out", progress=False)
    assert "the disk will be full before the end" in caplog.text


@pytest.mark.parametrize(("clips", "expected"), [(1, 64), (32_768, 64), (32_769, 128), (168_913, 512), (650_000, 2048)])
def test_shards_grow_with_the_dataset_and_stay_few(clips, expected):
    assert clips_a_shard(clips) == expected
    assert clips / clips_a_shard(clips) <= 512


@pytest.mark.parametrize("codec", ["copy", "h264-fast"])
def test_a_gap_in_the_numbers_of_frames_is_noted_and_two_equal_numbers_are_bad(jpeg_source, tmp_path, codec):
    folder = shutil.copytree(pathlib.Path(jpeg_source.splits["train"][0].path).parent, tmp_path / "frames")
    clips = tuple(dataclasses.replace(clip, path=str(folder / clip.id)) for clip in jpeg_source.splits["train"])
    (folder / "2" / "00003.jpg").unlink()
    shutil.copy(folder / "1" / "00001.jpg", folder / "1" / "1.jpg")
    source = dataclasses.replace(jpeg_source, splits={"train": clips})
    report = prepare_dataset(source, tmp_path / "out", codec=codec, skip_bad=True, progress=False)
    (bad,) = report.bad
    assert bad.id == "1"
    assert "00001.jpg and 1.jpg have the same number" in bad.reason
    note = "train: clip 2: frames are missing: 00002.jpg is followed by 00004.jpg"
    assert report.doubts == report.manifest.mismatches == (note,)
    assert f"note: {note}" in report.summary()
    again = prepare_dataset(source, tmp_path / "out", codec=codec, skip_bad=True, progress=False)
    assert again.reused == 3
    assert again.doubts == report.doubts


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: b"", "is damaged or is neither a JPEG nor a PNG file"),
        (lambda data: b"hello", "is damaged or is neither a JPEG nor a PNG file"),
        (lambda data: data[: len(data) // 2], "is cut off; copy it again"),
    ],
    ids=["empty", "text", "cut off"],
)
def test_a_damaged_frame_is_named_without_decoding_all(jpeg_source, tmp_path, change, reason):
    clips = jpeg_source.splits["train"]
    damaged = tmp_path / "damaged"
    shutil.copytree(clips[0].path, damaged)
    last = sorted(damaged.iterdir())[-1]
    last.write_bytes(change(last.read_bytes()))
    splits = {"train": (dataclasses.replace(clips[0], id="damaged", path=str(damaged)), *clips)}
    source = dataclasses.replace(jpeg_source, splits=splits)
    (bad,) = prepare_dataset(source, tmp_path / "out", skip_bad=True, progress=False).bad
    assert bad.id == "damaged"
    assert bad.reason.endswith(reason)


def test_a_frame_folder_that_cannot_be_listed_is_a_bad_clip(jpeg_source, tmp_path, monkeypatch):
    locked = pathlib.Path(jpeg_source.splits["train"][1].path)
    listing = pathlib.Path.iterdir

    def iterdir(path):
        if path == locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        return listing(path)

    monkeypatch.setattr(pathlib.Path, "iterdir", iterdir)
    report = prepare_dataset(jpeg_source, tmp_path / "out", skip_bad=True, progress=False)
    (bad,) = report.bad
    assert (bad.id, bad.reason) == ("1", "the folder cannot be listed (Permission denied)")


def test_the_manifest_says_whether_every_frame_was_decoded(videos, video_source, tmp_path):
    for verify in (False, True):
        report = prepare_dataset(video_source(videos), tmp_path / "out", verify=verify, progress=False)
        assert report.manifest.splits["train"].verified is verify
        assert ("every frame decoded" in report.summary()) is verify
