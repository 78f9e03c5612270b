"""Prepared datasets: read at random, from threads and processes, with and without tensorflow_datasets."""

import concurrent.futures
import hashlib
import json
import math
import multiprocessing
import pickle
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.sources.manifest import read_manifest
from motion_vit.data.sources.prepared_dataset import open_prepared
from motion_vit.data.sources.record import ClipRecord, record_serializer
from motion_vit.data.sources.record_parser import parse_record
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.encoded_video import JpegFrames
from motion_vit.errors import UserError

LABELS = ("Moving [something] up", "Moving [something] down", "Ölçü")

# Prints every record of split argv[2] of folder argv[1] as JSON, and makes sure that nothing imported TensorFlow.
READ_WITH_TFDS = """
import hashlib, json, sys
import tensorflow_datasets as tfds
builder = tfds.builder_from_directory(sys.argv[1])
source = builder.as_data_source(sys.argv[2])
def plain(value):
    return value.decode() if isinstance(value, bytes) else value
rows = []
for row in source:
    data = [row.pop("video")] if "video" in row else list(row.pop("jpegs"))
    rows.append({"data": [hashlib.sha256(one).hexdigest() for one in data], **{k: plain(v) for k, v in row.items()}})
assert "tensorflow" not in sys.modules
print(json.dumps({"labels": builder.info.features["label"].names, "rows": rows}))
"""

# Prints what threads import while they read and decode the first batch of split `train` of folder argv[1].
IMPORTED_BY_THREADS = """
import sys, threading
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.training_batches import TrainingBatches
from motion_vit.data.sources.open_source import open_source
source = open_source(sys.argv[1], default_split="train")
batches = TrainingBatches(source, ClipOptions(frames=2, size=16), batch_size=4, seed=0, threads=2)
before = set(sys.modules)
def note(event, details):
    if event == "import" and threading.current_thread() is not threading.main_thread() and details[0] not in before:
        print(details[0])
sys.addaudithook(note)
assert next(batches)["clip"].shape[0] == 4
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, write_video, numbered):
    """A prepared folder: 7 clips in 3 shards, of which the second is empty, and one more in `validation`."""
    folder = tmp_path_factory.mktemp("prepared")
    clips = []
    for number in range(9):
        path = folder / "videos" / f"{number}.mp4"
        if number in (3, 4, 5):
            path.write_bytes(b"broken")
        else:
            write_video(path, numbered(5 + number, 24, 32))
        clips.append(SourceClip(f"clip-{number}", str(path), LABELS[number % 3]))
    clips[8] = SourceClip("part", clips[8].path, LABELS[2], 0.5, 1.0)
    source = SourceDataset("list", LABELS, {"train": tuple(clips), "validation": tuple(clips[:1])})
    prepare_dataset(source, folder / "out", clips_per_shard=3, skip_bad=True, progress=False)
    return folder / "out"


@pytest.fixture
def copied(prepared, tmp_path):
    """A copy of the prepared folder that can be damaged."""
    return shutil.copytree(prepared, tmp_path / "copy")


def read_with_tfds(folder, split):
    run = subprocess.run(
        [sys.executable, "-c", READ_WITH_TFDS, str(folder), split], capture_output=True, text=True, check=True
    )
    return json.loads(run.stdout)


def digests(video):
    data = video.frames if isinstance(video, JpegFrames) else [video.data]
    return [hashlib.sha256(one).hexdigest() for one in data]


def test_clips_come_in_the_order_of_the_source_without_the_bad_ones(prepared):
    split = open_prepared(prepared, "train")
    clips = [split[row] for row in range(len(split))]
    assert [clip.id for clip in clips] == ["clip-0", "clip-1", "clip-2", "clip-6", "clip-7", "part"]
    assert [clip.label for clip in clips] == [0, 1, 2, 0, 1, 2]
    assert [clip.frames for clip in clips] == [5, 6, 7, 11, 12, 6]
    assert split.label_names == LABELS
    assert split.name == f"{prepared}:train"
    assert clips[0].video.name == f"{prepared}:train:clip-0"


def test_stored_parts_decode_to_their_frames(prepared, numbers_of):
    clip = open_prepared(prepared, "train")[5]
    frames = np.arange(clip.frames) + clip.first_frame
    assert numbers_of(decode_frames(clip.video, frames)) == [6, 7, 8, 9, 10, 11]


def test_tensorflow_datasets_reads_the_same_without_tensorflow(prepared):
    read = read_with_tfds(prepared, "train")
    split = open_prepared(prepared, "train")
    assert read["labels"] == list(LABELS)
    assert len(read["rows"]) == len(split) == 6
    for row, values in enumerate(read["rows"]):
        clip = split[row]
        names = ("id", "label", "first_frame", "frames")
        assert [values[name] for name in names] == [getattr(clip, name) for name in names]
        assert values["data"] == digests(clip.video)
        assert (values["width"], values["height"], values["fps"], values["codec"]) == (32, 24, 12.0, "h264")
    assert [read["rows"][row]["start"] for row in (0, 5)] == [0.0, 0.5]
    assert [read["rows"][row]["end"] for row in (0, 5)] == pytest.approx([5 / 12, 1.0])


def test_tensorflow_datasets_reads_bundles_of_jpeg_files(tmp_path, numbered):
    clips = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        for index, frame in enumerate(numbered(1 + 2 * number)):
            cv2.imwrite(str(tmp_path / str(number) / f"{index}.jpg"), frame)
        clips.append(SourceClip(str(number), str(tmp_path / str(number)), LABELS[0]))
    prepare_dataset(SourceDataset("jester", LABELS, {"train": tuple(clips)}), tmp_path / "out", progress=False)
    split = open_prepared(tmp_path / "out", "train")
    rows = read_with_tfds(tmp_path / "out", "train")["rows"]
    assert [values["data"] for values in rows] == [digests(split[row].video) for row in range(2)]
    assert [len(values["data"]) for values in rows] == [1, 3]


@pytest.mark.slow
def test_threads_that_read_import_nothing_of_the_reader(prepared):
    # Threads that are the first to import tensorflow_datasets can wait for each other for ever.
    command = [sys.executable, "-c", IMPORTED_BY_THREADS, str(prepared)]
    imported = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    # A module that imports no other lazily, as PyAV's, is safe with Python's own locks.
    assert [name for name in imported if not name.startswith("av.")] == []


def test_threads_read_what_one_reader_reads(prepared):
    split = open_prepared(prepared, "train")
    expected = [split[row] for row in range(6)]
    fresh = open_prepared(prepared, "train")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(fresh.__getitem__, [*range(6)] * 20)) == expected * 20


def read_first(split):
    return split[0].video.data


def test_a_split_travels_to_other_processes(prepared):
    split = open_prepared(prepared, "train")
    first = split[0].video.data
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(read_first, split).result() == first
    assert pickle.loads(pickle.dumps(split)).fingerprint == split.fingerprint


def test_the_fingerprint_stays_when_the_folder_moves(prepared, copied):
    assert open_prepared(copied, "train").fingerprint == open_prepared(prepared, "train").fingerprint
    assert open_prepared(copied, "validation").fingerprint != open_prepared(copied, "train").fingerprint


@pytest.mark.parametrize("row", [-1, 6])
def test_rows_beyond_the_split_are_refused(prepared, row):
    with pytest.raises(IndexError, match="has the clips 0 to 5"):
        open_prepared(prepared, "train")[row]


def test_a_damaged_record_is_named_and_the_others_are_read(copied):
    shard = copied / "list-train.array_record-00000-of-00003"
    whole = open_prepared(copied, "train")
    position = shard.read_bytes().find(whole[1].video.data)
    assert position > 0
    data = bytearray(shard.read_bytes())
    data[position + 100] ^= 0xFF
    shard.write_bytes(data)
    split = open_prepared(copied, "train")
    with pytest.raises(VideoDecodeError, match=r"copy:train, clip number 1: its record cannot be read .*hash mismatch"):
        split[1]
    assert [split[row].id for row in (0, 2)] == ["clip-0", "clip-2"]


def test_a_shard_that_disappears_while_reading_is_named(copied):
    split = open_prepared(copied, "train")
    (copied / "list-train.array_record-00002-of-00003").unlink()
    assert split[0].id == "clip-0"
    with pytest.raises(VideoDecodeError, match="No such file or directory"):
        split[4]


def test_missing_and_altered_shards_are_named_when_opening(copied):
    (copied / "list-train.array_record-00000-of-00003").unlink()
    (copied / "list-train.array_record-00002-of-00003").write_bytes(b"half")
    expected = (
        r"of 3 shards, 1 missing \(such as list-train.*00000-of-00003\) and 1 of another size \(such as list-train"
    )
    with pytest.raises(UserError, match=expected):
        open_prepared(copied, "train")
    assert len(open_prepared(copied, "validation")) == 1


def test_an_unknown_split_is_answered_with_those_there(prepared):
    assert tuple(read_manifest(prepared).splits) == ("train", "validation")
    with pytest.raises(UserError, match="has no split 'test'; it has train, validation"):
        open_prepared(prepared, "test")


def test_a_folder_that_is_no_prepared_dataset_is_answered_with_the_command(tmp_path):
    with pytest.raises(
        UserError, match=r"is not a prepared dataset: it has no manifest\.json.*motion-vit prepare NAME"
    ):
        open_prepared(tmp_path, "train")
    with pytest.raises(UserError, match="does not exist; `motion-vit prepare NAME"):
        open_prepared(tmp_path / "nowhere", "train")


def test_a_newer_format_is_refused(copied):
    manifest = copied / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 3', '"format_version": 4'))
    with pytest.raises(UserError, match=r"has the format version 4 .* reads up to 3; install the version"):
        open_prepared(copied, "train")


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"splits": {"train": 3}}', '{"splits": {"train": {"shards": [{}]}}}']
)
def test_a_damaged_manifest_is_said(copied, text):
    (copied / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json is (damaged|not the manifest of a prepared dataset)"):
        read_manifest(copied)


@pytest.mark.parametrize("name", ["dataset", "complete", "label_names", "mismatches", "format_version", "splits"])
@pytest.mark.parametrize("value", [1.5, -math.inf, None, [1], [None], {"train": 3}, {"train": {"clips": "x"}}])
def test_a_manifest_of_other_types_is_said(copied, name, value):
    values = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps(values | {name: value}))
    with pytest.raises(UserError, match=r"manifest\.json is (damaged|not the manifest of a prepared dataset)"):
        read_manifest(copied)


@pytest.mark.parametrize("data", [b"film\0\0", (b"one\0", b"", b"two")])
def test_records_keep_every_byte(data):
    clip = ClipRecord("ü", 2, data, 3, 17, 29.97, 320, 240, 1.5, 4.0, "vp9")
    serialize = record_serializer(LABELS, "video" if isinstance(data, bytes) else "jpegs")
    read = parse_record(serialize(clip))
    assert (read.id, read.label, read.data, read.first_frame, read.frames) == ("ü", 2, data, 3, 17)
    assert (read.width, read.height, read.start, read.end, read.codec) == (320, 240, 1.5, 4.0, "vp9")
    assert read.fps == pytest.approx(29.97)


@pytest.mark.parametrize("data", [b"", b"\x0a\x03abc", b"\xff" * 20])
def test_what_is_no_record_is_refused(data):
    with pytest.raises(ValueError, match="not "):
        parse_record(data)
