"""Sets of tensorflow_datasets as sources: found, read at random without TensorFlow, and damaged in every way."""

import json
import os
import pathlib
import pickle
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from small_tfds import BYTES, IMAGE, TEXT, VIDEO, class_label, features_dict, pictures, sequence, write_tfds

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import evaluation_batches
from motion_vit.data.batches.frame_clock import read_clock
from motion_vit.data.batches.training_batches import TrainingBatches
from motion_vit.data.sources.named_videos import find_videos
from motion_vit.data.sources.open_source import open_source, open_sources
from motion_vit.data.sources.source_check import check_source
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.errors import UserError
from motion_vit.training.losses.registry import make_loss

HOSTILE = ("../clap", "wave\x1b[31m all", "Ölçü [x], 100 %", "a:b?label=c")

# Builds a set with tensorflow_datasets and its `Video`, in folder argv[1], and writes the pixels that it decodes.
BUILD_WITH_TFDS = """
import sys
import numpy as np
import tensorflow_datasets as tfds

class Waves(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = None

    def _info(self):
        features = {
            "video": tfds.features.Video(
                shape=(None, 24, 32, 3), encoding_format=self.encoding, ffmpeg_extra_args=("-r", "25")
            ),
            "label": tfds.features.ClassLabel(names=["clap", "wave it"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, manager):
        return {"train": self._generate_examples(3)}

    def _generate_examples(self, count):
        rng = np.random.default_rng(0)
        for number in range(count):
            smooth = rng.integers(0, 256, (4 + number, 3, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
            yield number, {"video": smooth, "label": number % 2}

for encoding in ("png", "jpeg"):
    Waves.encoding = encoding
    builder = Waves(data_dir=f"{sys.argv[1]}/{encoding}", file_format="array_record")
    builder.download_and_prepare()
    decoded = builder.as_data_source("train")
    clips = {f"clip{number}": clip["video"] for number, clip in enumerate(decoded)}
    np.savez(f"{sys.argv[1]}/{encoding}.npz", label=[clip["label"] for clip in decoded], **clips)
"""

# Prints what threads import while they read and decode the first batch of the location argv[1], and checks that nothing
# imports TensorFlow.
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
assert "tensorflow" not in sys.modules
"""


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory, numbered: Callable[..., np.ndarray]) -> pathlib.Path:
    """A set with 7 training clips of 4 to 10 frames in 4 shards, and 3 test clips; some labels are hostile."""
    root = tmp_path_factory.mktemp("sets")
    clips = [{"video": pictures(numbered(4 + number)), "label": number % 4} for number in range(7)]
    write_tfds(root / "waves" / "1.0.0", {"train": clips[:1]}, label_names=HOSTILE)
    return write_tfds(root / "waves" / "1.10.2", {"train": clips, "test": clips[:3]}, label_names=HOSTILE)


def test_a_name_stands_for_the_latest_version_and_slices_are_those_of_tfds(
    waves: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    numbers_of: Callable[[np.ndarray], list[int]],
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(waves.parents[1]))
    lengths = {
        "tfds:waves": 7,
        "tfds:waves:test": 3,
        "tfds:waves:1.0.0": 1,
        "tfds:waves:1.*.*:test": 3,
        "tfds:waves:1.10.2:train[:3]+test[1:]": 5,
        "tfds:waves:train[50%:]": 3,
        f"tfds:{waves}:train": 7,
        f"tfds:{waves.parent}:test": 3,
    }
    assert {location: len(open_source(location, default_split="train")) for location in lengths} == lengths
    source = open_source("tfds:waves:1.10.2:train[2:6]+test[1:]", default_split="train")
    assert [clip.id for clip in source] == ["train/2", "train/3", "train/4", "train/5", "test/1", "test/2"]
    assert [clip.label for clip in source] == [2, 3, 0, 1, 1, 2]
    assert source.label_names == HOSTILE
    for frames, clip in zip((6, 7, 8, 9, 5, 6), source, strict=True):
        assert clip.frames == frames
        assert numbers_of(decode_frames(clip.video, range(frames))) == list(range(frames))
    assert [source.name for source in open_sources("tfds:waves")] == ["tfds:waves:train", "tfds:waves:test"]
    assert [len(source) for source in open_sources("tfds:waves:test[:1]")] == [1]


@pytest.mark.slow
def test_what_tfds_itself_writes_is_decoded_to_the_pixels_that_it_decodes(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("tensorflow")
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-W", "ignore", "-c", BUILD_WITH_TFDS, str(tmp_path)]
    subprocess.run(command, env={**os.environ, **quiet}, cwd=tmp_path, check=True, capture_output=True)
    for encoding in ("png", "jpeg"):
        source = open_source(f"tfds:{tmp_path / encoding / 'waves'}", default_split="train")
        assert (source.label_names, source.frame_rate) == (("clap", "wave it"), 25.0)
        with np.load(tmp_path / f"{encoding}.npz") as stored:
            expected = dict(stored)
        assert [clip.label for clip in source] == expected["label"].tolist()
        for number, clip in enumerate(source):
            decoded = decode_frames(clip.video, range(clip.frames))
            np.testing.assert_array_equal(decoded, expected[f"clip{number}"])


def test_no_thread_imports_anything_and_nothing_imports_tensorflow(waves: pathlib.Path) -> None:
    command = [sys.executable, "-c", IMPORTED_BY_THREADS, f"tfds:{waves}:train"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""


def test_batches_are_those_of_any_source_with_workers_and_after_resuming(waves: pathlib.Path) -> None:
    def stream(workers: int) -> TrainingBatches:
        source = open_source(f"tfds:{waves}:train", default_split="train")
        return TrainingBatches(source, ClipOptions(frames=2, size=16), batch_size=3, seed=0, workers=workers)

    alone, with_worker = stream(0), stream(1)
    first = next(alone)
    np.testing.assert_array_equal(first["clip"], next(with_worker)["clip"])
    state = json.loads(json.dumps(with_worker.get_state()))
    with_worker.close()
    second = next(alone)
    alone.close()
    continued = stream(0)
    continued.set_state(state)
    np.testing.assert_array_equal(second["clip"], next(continued)["clip"])
    continued.close()


def test_bad_examples_cost_no_others(tmp_path: pathlib.Path, numbered: Callable[..., np.ndarray]) -> None:
    good = pictures(numbered(5))
    clips = [
        {"video": good, "label": 0},
        {"video": [*good[:2], b"no picture", *good[3:]], "label": 1},
        {"video": [], "label": 1},
        {"video": good, "label": -1},
        {"video": good, "label": 9},
        {"video": good},
        {"label": 1},
        {"video": [one[: len(one) // 2] for one in good], "label": 1},
        {"video": pictures(numbered(5), ".jpg"), "label": 1},
    ]
    folder = write_tfds(tmp_path / "waves" / "1.0.0", {"train": clips}, label_names=("clap", "wave"))
    source = open_source(f"tfds:{folder}", default_split="train")
    result = check_source(source, workers=1, progress=False)
    assert result.clips_of_class == {"clap": 1, "wave": 1}
    assert len(result.bad) == 7
    assert list(source.clips_of_class) == [1, 3]  # which reads no pictures
    with pytest.raises(VideoDecodeError, match=r"its class is \[-1\]; expected one number from 0 to 1"):
        source[3]
    with pytest.raises(IndexError):
        source[9]


def test_a_damaged_or_missing_shard_is_told(waves: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "waves" / "1.0.0"
    clips = [{"video": pictures(np.zeros((3, 8, 8, 3), np.uint8)), "label": 0}] * 4
    write_tfds(folder, {"train": clips}, label_names=("clap",))
    shards = sorted(folder.glob("*array_record*"))
    source = pickle.loads(pickle.dumps(open_source(f"tfds:{folder}", default_split="train")))
    shards[0].write_bytes(shards[0].read_bytes()[:200])
    with pytest.raises(VideoDecodeError, match="its record cannot be read"):
        source[0]
    assert source[3].label == 0
    shards[1].unlink()
    with pytest.raises(UserError, match=r"array_record-00001-of-00002 cannot be read.*Copy the folder again"):
        open_source(f"tfds:{folder}", default_split="train")


def test_the_fingerprint_is_that_of_the_content_and_not_of_the_place(
    waves: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    moved = tmp_path / "elsewhere"
    moved.symlink_to(waves.parents[1])
    here = open_source(f"tfds:{waves}:train", default_split="train").fingerprint
    assert here == open_source(f"tfds:{moved / 'waves'}:train", default_split="train").fingerprint
    others = ("train[:6]", "train[1:]", "test", "train+test")
    found = {open_source(f"tfds:{waves}:{split}", default_split="train").fingerprint for split in others}
    assert len(found | {here}) == 5


def test_the_video_and_the_class_are_found_where_unique_and_named_otherwise(
    tmp_path: pathlib.Path, write_video: Callable[..., pathlib.Path], numbered: Callable[..., np.ndarray]
) -> None:
    film = write_video(tmp_path / "film.mp4", numbered(6)).read_bytes()
    frames = pictures(numbered(3))
    features = {
        "id": TEXT,
        "file": BYTES,
        "poster": IMAGE,
        "inner": features_dict({"frames": sequence(IMAGE), "verb": class_label(3)}),
        "label": class_label(2),
    }
    clip = {"id": b"x", "file": film, "poster": frames[0], "inner/frames": frames, "inner/verb": 2, "label": 1}
    folder = write_tfds(tmp_path / "two" / "1.0.0", {"train": [clip]}, label_names=("a", "b"), features=features)
    (folder / "inner-verb.labels.txt").write_text("put\ntake\nopen\n")
    with pytest.raises(UserError, match=r"several features that hold a class .*\?label=inner/verb"):
        open_source(f"tfds:{folder}", default_split="train")
    source = open_source(f"tfds:{folder}:train?label=inner/verb", default_split="train")
    assert (source.label_names, source[0].label, source[0].frames) == (("put", "take", "open"), 2, 3)
    source = open_source(f"tfds:{folder}:train?video=file&label=label", default_split="train")
    assert decode_frames(source[0].video, [5]).shape == (1, 24, 32, 3)
    assert check_source(source, workers=1, progress=False).rates == {"12.0": 1}
    for options, message in {
        "video=id&label=label": r"the feature 'id' of .* is none that holds a video",
        "video=flie&label=label": r"does not exist.* Did you mean 'file'\?",
        "lable=label": r"has the option 'lable'\. Did you mean 'label'\?",
    }.items():
        with pytest.raises(UserError, match=message):
            open_source(f"tfds:{folder}:train?{options}", default_split="train")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"label": class_label(2)}, "has no feature that holds a video .* its features are label"),
        ({"video": VIDEO, "id": TEXT}, "has no feature that holds a class .* its features are id, video"),
        ({"video": VIDEO, "clip": VIDEO, "label": class_label(2)}, r"several features .*: clip, video\..*\?video=clip"),
        ({"file": BYTES, "label": class_label(2)}, r"no single feature .*: file\. Name one .*\?video=file"),
        ({"video": VIDEO, "label": class_label(3)}, "gives 2 different names and the feature label has 3 classes"),
        ({"video": {**VIDEO, "video": {"dtype": "uint16"}}, "label": class_label(2)}, "pictures of uint16"),
    ],
)
def test_features_that_make_no_clip_are_a_user_error(
    tmp_path: pathlib.Path, features: dict[str, object], message: str
) -> None:
    folder = write_tfds(
        tmp_path / "odd" / "1.0.0", {"train": [{"label": 0}]}, label_names=("a", "b"), features=features
    )
    with pytest.raises(UserError, match=message):
        open_source(f"tfds:{folder}", default_split="train")


def test_classes_without_names_are_numbers(tmp_path: pathlib.Path) -> None:
    folder = write_tfds(tmp_path / "odd" / "1.0.0", {"train": [{"label": 0}]}, label_names=("a", "b", "c"))
    (folder / "label.labels.txt").unlink()
    assert open_source(f"tfds:{folder}", default_split="train").label_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("arguments", "metadata", "rate"),
    [
        ([], None, 0.0),
        (["-qscale:v", "2", "-r", "25", "-t", "00:00:20"], {"fps": 30}, 25.0),
        (["-vf", "scale=320:-1,fps=30000/1001"], None, 30000 / 1001),
        (["-r", "0/0"], {"frame_rate": "12.5"}, 12.5),
        ([], {"fps": True}, 0.0),
        ([], {"fps": -1}, 0.0),
        ([], ["fps", 25], 0.0),
    ],
)
def test_the_frame_rate_is_that_of_the_feature_or_the_metadata(
    tmp_path: pathlib.Path, arguments: list[str], metadata: object, rate: float
) -> None:
    video = {**VIDEO, "video": {"dtype": "uint8", "ffmpegExtraArgs": arguments}}
    clip = {"video": pictures(np.zeros((10, 8, 8, 3), np.uint8)), "label": 0}
    folder = write_tfds(
        tmp_path / "odd" / "1.0.0",
        {"train": [clip]},
        label_names=("a",),
        features={"video": video, "label": class_label(1)},
    )
    if metadata is not None:
        (folder / "metadata.json").write_text(json.dumps(metadata))
    source = open_source(f"tfds:{folder}", default_split="train")
    assert source.frame_rate == rate
    if rate:
        clock = read_clock(source[0], 2 * rate)
        assert clock.ticks == 20
        assert clock.frames_at(np.array([0, 2, 19])).tolist() == [0, 1, 9]
    else:
        with pytest.raises(VideoDecodeError, match=r"has no times, and data\.fps=25"):
            read_clock(source[0], 25.0)


def test_the_config_is_the_only_or_the_default_one_or_has_to_be_given(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for config in ("one", "two"):
        folder = tmp_path / "acts" / config / "2.0.0"
        write_tfds(folder, {"train": [{"label": 0}]}, label_names=(config,))
        if config == "one":
            assert open_source("tfds:acts", default_split="train").label_names == ("one",)
    assert open_source("tfds:acts/two:2.0.0:train", default_split="train").label_names == ("two",)
    with pytest.raises(UserError, match=r"acts has several configs \(one, two\).*tfds:acts/one:SPLIT"):
        open_source("tfds:acts:train", default_split="train")
    (tmp_path / "acts" / ".config").mkdir()
    (tmp_path / "acts" / ".config" / "metadata.json").write_text('{"default_config_name": "two"}')
    assert open_source("tfds:acts:train", default_split="train").label_names == ("two",)


def test_what_is_not_there_or_not_readable_at_random_is_told_with_the_way_out(
    waves: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    prepare = r"tfds\.builder\('ucf101', file_format='array_record'\)\.download_and_prepare\(\)"
    write_tfds(tmp_path / "ucf101" / "2.0.0", {}, label_names=("a",), file_format="tfrecord")
    damaged = write_tfds(tmp_path / "damaged" / "2.0.0", {}, label_names=("a",))
    (damaged / "dataset_info.json").write_text("{")
    old = write_tfds(tmp_path / "old" / "2.0.0", {"train": [{"label": 0}]}, label_names=("a",))
    (old / "features.json").write_text('{"type": "tensorflow_datasets.core.features.FeaturesDict", "content": {}}')
    for location, message in {
        "tfds:": "names no set",
        "tfds:ucf101:train": f"is stored as tfrecord, which cannot be read at random.*{prepare}",
        f"tfds:{tmp_path / 'ucf101'}:train": f"is stored as tfrecord.*{prepare}",
        "tfds:nowhere:train": "the set nowhere .* is not prepared in .* nothing is downloaded unasked.*'nowhere'",
        f"tfds:{tmp_path}/nowhere": "holds no set that tensorflow_datasets has prepared",
        "tfds:damaged:train": "is damaged",
        "tfds:old:train": "prepare the set again with a newer version",
        "tfds:gs://bucket/ucf101:train": "is an address",
        f"tfds:{waves}:trian": r"no such split.* Did you mean 'train'\? The splits are train, test",
        f"tfds:{waves}:train[:x]": "its slice is malformed",
        f"tfds:{waves}:train[5:2]": "holds no clip",
        f"tfds:{waves}:train[:0]": "holds no clip",
    }.items():
        with pytest.raises(UserError, match=f"(?s){message}"):
            open_source(location, default_split="train")


def test_no_command_is_suggested_that_a_shell_would_obey(tmp_path: pathlib.Path) -> None:
    folder = write_tfds(tmp_path / "$(touch x)" / "2.0.0", {}, label_names=("a",), file_format="tfrecord")
    with pytest.raises(UserError, match=r"tfds\.builder\('NAME', file_format") as raised:
        open_source(f"tfds:{folder}:train", default_split="train")
    assert "$(" not in str(raised.value).partition("python -c")[2]


def test_classes_are_counted_only_when_a_number_is_asked_for(tmp_path: pathlib.Path) -> None:
    """Most losses need the number of classes alone, and reading all records of a large set takes long."""
    clips = [{"video": [b""], "label": number} for number in (1, 1, 0)]
    folder = write_tfds(tmp_path / "acts" / "2.0.0", {"train": clips}, label_names=("a", "b"))
    counted = open_source(f"tfds:{folder}", default_split="train").clips_of_class
    lost = open_source(f"tfds:{folder}", default_split="train").clips_of_class
    assert list(counted) == [1, 2]
    for shard in folder.glob("*array_record*"):
        shard.write_bytes(b"")
    assert make_loss("cross_entropy", {}, lost) is not None
    assert len(lost) == 2


def test_predict_names_the_command_that_reads_sets(waves: pathlib.Path) -> None:
    [video] = find_videos([f"tfds:{waves}:train"])
    assert "`motion-vit evaluate` reads such sets" in video.error


def test_a_checkpoint_is_evaluated_by_the_names_of_its_classes(waves: pathlib.Path) -> None:
    source = open_source(f"tfds:{waves}:test", default_split="train", label_names=("other", *reversed(HOSTILE)))
    [batch] = evaluation_batches(source, ClipOptions(frames=2, size=16), batch_size=3, clips=1, crops=1)
    assert batch["label"].tolist() == [4, 3, 2]
    assert list(source.clips_of_class) == [0, 0, 1, 1, 1]
