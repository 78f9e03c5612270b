"""Interrupted preparations: killed, out of space, with changed files, or two at a time."""

import dataclasses
import fcntl
import json
import os
import pathlib
import pickle
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from motion_vit.data.datasets.source_dataset import SourceClip
from motion_vit.data.preparation.clip_encoding import encode_clip
from motion_vit.data.preparation.output_folder import OutputError
from motion_vit.data.preparation.plan import plan_shards, stamp_files
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.preparation.workers import write_shards
from motion_vit.data.sources.prepared_dataset import open_prepared
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import UNFINISHED

# Prepares the pickled source argv[1] into argv[2], with argv[3] workers and no file larger than argv[4] bytes.
PREPARE = """
import pickle, resource, sys
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.errors import UserError
if __name__ == "__main__":
    source, folder, workers, largest = sys.argv[1:]
    if int(largest):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), int(largest)))
    try:
        prepare_dataset(pickle.load(open(source, "rb")), folder, codec="h264-fast", clips_per_shard=1,
                        workers=int(workers), progress=False)
    except UserError as error:
        sys.exit(f"{type(error).__name__}: {error}")
"""


def start(source, folder, *, workers=1, largest=0):
    """Starts a preparation in another process."""
    pickled = folder.with_suffix(".pickle")
    pickled.write_bytes(pickle.dumps(source))
    arguments = [sys.executable, "-c", PREPARE, str(pickled), str(folder), str(workers), str(largest)]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)


def notes(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / ".shards").glob("*.array_record-*.json")}


def children(process_id):
    found = pathlib.Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    return [int(child) for child in found] + [grandchild for child in found for grandchild in children(int(child))]


def wait_until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def many(tmp_path_factory, videos, video_source, write_video):
    """A download of 24 training clips that take a while to encode, the last of them large."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 256, 256, 3)).astype(np.uint8)
    large = write_video(tmp_path_factory.mktemp("large") / "large.mp4", noise)
    parts = [SourceClip(f"part-{n}", str(videos / "long.mp4"), "nod", n / 10, 5 + n / 10) for n in range(15)]
    return video_source(videos, *parts, SourceClip("large", str(large), "nod"))


@pytest.fixture(scope="module")
def undisturbed(many, tmp_path_factory, files_of):
    """The files of `many`, prepared in one go."""
    folder = tmp_path_factory.mktemp("undisturbed")
    prepare_dataset(many, folder, codec="h264-fast", clips_per_shard=1, progress=False)
    return files_of(folder)


@pytest.mark.slow
def test_killed_and_started_again_it_ends_with_the_same_bytes(many, undisturbed, tmp_path, files_of):
    out = tmp_path / "out"
    process = start(many, out, workers=2)
    wait_until(lambda: len(notes(out)) >= 5 or process.poll() is not None)
    helpers = children(process.pid)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: not any(os.path.exists(f"/proc/{helper}") for helper in helpers), seconds=10)
    assert not (out / "manifest.json").exists()
    (out / f"{UNFINISHED}dead.array_record-00000-of-00024").write_bytes(b"half a shard")
    finished = notes(out)
    report = prepare_dataset(many, out, codec="h264-fast", clips_per_shard=1, workers=1, progress=False)
    assert report.reused == len(finished) >= 5
    assert {name: modified for name, modified in notes(out).items() if name in finished} == finished
    assert files_of(out) == undisturbed


@pytest.mark.slow
def test_a_file_system_that_takes_no_more_is_said_and_nothing_is_lost(many, undisturbed, tmp_path, files_of):
    out = tmp_path / "out"
    largest = max(len(data) for name, data in undisturbed.items() if name.startswith("list-"))
    process = start(many, out, largest=largest - 1)
    _, said = process.communicate()
    assert said.startswith("OutputError: cannot write ")
    assert "File too large" in said
    assert "run the same command again, and it goes on from there" in said
    assert not list(out.glob(f"{UNFINISHED}*"))
    finished = len(notes(out))
    report = prepare_dataset(many, out, codec="h264-fast", clips_per_shard=1, progress=False)
    assert report.reused == finished == 23
    assert files_of(out) == undisturbed


def test_a_full_disk_is_said_whenever_the_writer_notices_it(videos, video_source, tmp_path, monkeypatch):
    class FullDisk:
        def __init__(self, path, options):
            pathlib.Path(path).touch()

        def write(self, record):
            raise RuntimeError("write() failed: No space left on device; writing /x; at byte 1048576")

        def close(self):
            raise RuntimeError("write() failed: No space left on device; writing /x; at byte 1048576")

    monkeypatch.setattr("array_record.python.array_record_module.ArrayRecordWriter", FullDisk)
    with pytest.raises(
        OutputError, match=r"array_record-00000-of-00001: No space left on device\. The shards that are"
    ):
        prepare_dataset(video_source(videos), tmp_path / "out", progress=False)
    assert not list((tmp_path / "out").glob(".list*"))


def test_a_folder_that_cannot_be_made_is_said(videos, video_source, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/out cannot be made: Not a directory; give a folder"):
        prepare_dataset(video_source(videos), tmp_path / "file" / "out", progress=False)


def test_changed_files_are_read_again_and_no_others(videos, video_source, tmp_path, write_video, numbered):
    shutil.copytree(videos, tmp_path / "videos")
    source = video_source(tmp_path / "videos")
    first = prepare_dataset(source, tmp_path / "out", clips_per_shard=2, progress=False)
    before = notes(tmp_path / "out")
    write_video(tmp_path / "videos" / "v3.mp4", numbered(20, 32, 48))
    second = prepare_dataset(source, tmp_path / "out", clips_per_shard=2, progress=False)
    after = notes(tmp_path / "out")
    assert {name for name in after if after[name] != before[name]} == {"list-train.array_record-00001-of-00004.json"}
    assert second.reused == 9
    assert open_prepared(tmp_path / "out", "train")[3].frames == 20
    assert first.manifest.splits["train"].fingerprint != second.manifest.splits["train"].fingerprint


def test_a_repaired_clip_comes_in_where_it_belongs(videos, video_source, tmp_path):
    folder = pathlib.Path(shutil.copytree(videos, tmp_path / "videos"))
    (folder / "v1.mp4").rename(folder / "elsewhere.mp4")
    with pytest.raises(UserError, match="2 of 11 clips cannot be used"):
        prepare_dataset(video_source(folder), tmp_path / "out", progress=False)
    (folder / "elsewhere.mp4").rename(folder / "v1.mp4")
    prepare_dataset(video_source(folder), tmp_path / "out", progress=False)
    split = open_prepared(tmp_path / "out", "train")
    assert [split[row].id for row in range(3)] == ["v0", "v1", "v2"]


def test_a_clip_that_could_not_be_read_for_a_while_is_tried_again(videos, video_source, tmp_path, monkeypatch):
    def refuse(clip, *arguments, **options):
        if clip.id == "v1":
            raise VideoDecodeError(clip.path, "the file cannot be read (Input/output error)")
        return encode_clip(clip, *arguments, **options)

    with monkeypatch.context() as failing_disk:
        failing_disk.setattr("motion_vit.data.preparation.shard.encode_clip", refuse)
        with pytest.raises(UserError, match="Input/output error"):
            prepare_dataset(video_source(videos), tmp_path / "out", progress=False)
    report = prepare_dataset(video_source(videos), tmp_path / "out", progress=False)
    assert (report.clips, report.bad) == (11, ())


def test_a_finished_dataset_is_left_as_it_is(videos, video_source, tmp_path, files_of):
    prepare_dataset(video_source(videos), tmp_path / "out", progress=False)
    before = files_of(tmp_path / "out")
    report = prepare_dataset(video_source(videos), tmp_path / "out", progress=False)
    assert report.reused == 11
    assert files_of(tmp_path / "out") == before


@pytest.mark.parametrize("damage", ["shorten the shard", "remove the shard", "damage the note"])
def test_what_is_lost_is_made_again(videos, video_source, tmp_path, files_of, damage):
    out = tmp_path / "out"
    prepare_dataset(video_source(videos), out, progress=False)
    before = files_of(out)
    shard = out / "list-train.array_record-00000-of-00001"
    if damage == "shorten the shard":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif damage == "remove the shard":
        shard.unlink()
    else:
        (out / ".shards" / f"{shard.name}.json").write_text('{"clips": 3')
    assert prepare_dataset(video_source(videos), out, progress=False).reused == 3
    assert files_of(out) == before


def test_a_folder_is_not_taken_over_by_another_dataset_or_codec(videos, video_source, tmp_path, files_of):
    out = tmp_path / "out"
    prepare_dataset(video_source(videos), out, progress=False)
    before = files_of(out)
    with pytest.raises(UserError, match='begun with another codec: "copy" then, "h264-fast" now'):
        prepare_dataset(video_source(videos), out, codec="h264-fast", progress=False)
    with pytest.raises(UserError, match='begun with another dataset: "list" then, "ucf101" now'):
        prepare_dataset(dataclasses.replace(video_source(videos), name="ucf101"), out, progress=False)
    with pytest.raises(UserError, match=r"begun with another list of clips\. Give another folder, or delete this one"):
        prepare_dataset(video_source(videos, SourceClip("more", "/v.mp4", "nod")), out, progress=False)
    assert files_of(out) == before


def test_somebody_elses_dataset_is_not_overwritten(videos, video_source, tmp_path):
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(UserError, match=r"has a dataset_info\.json of a dataset that was made in another way"):
        prepare_dataset(video_source(videos), tmp_path, progress=False)
    assert json.loads((tmp_path / "dataset_info.json").read_text()) == {}


def test_two_preparations_into_one_folder_are_refused(videos, video_source, tmp_path):
    (tmp_path / "out" / ".shards").mkdir(parents=True)
    with open(tmp_path / "out" / ".shards" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="is writing into"):
            prepare_dataset(video_source(videos), tmp_path / "out", progress=False)
    prepare_dataset(video_source(videos), tmp_path / "out", progress=False)


class Fatal:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (9,)


def test_the_death_of_a_worker_is_said(videos, video_source, tmp_path):
    source = video_source(videos)
    tasks = plan_shards(
        source, tmp_path, stamp_files(source), codec="copy", storage="video", verify=False, clips_per_shard=4
    )
    fatal = [dataclasses.replace(task, label_names=Fatal()) for task in tasks]
    with pytest.raises(UserError, match=r"a worker process died.*memory.*fewer --workers"):
        list(write_shards(fatal, 2, lambda good, bad: None))
