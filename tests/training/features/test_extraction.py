"""Folders of features: resumed after a kill, without what cannot be decoded, and never mixed with others."""

import csv
import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest
import safetensors
from small_trained_model import small_trained_model

from motion_vit import UserError
from motion_vit.cli import main
from motion_vit.data.batches.evaluation_batches import evaluation_batches
from motion_vit.data.batches.feature_batches import FeatureBatches, feature_views
from motion_vit.data.features import feature_writer
from motion_vit.data.features.feature_folder import FeatureFolder
from motion_vit.data.features.feature_writer import FeatureWriter
from motion_vit.data.sources.open_source import open_source
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.features import extraction
from motion_vit.training.features.extraction import FeatureExtraction, plan_features
from motion_vit.training.recipe.clips import clip_options

VIVIT = {
    **{"attention": "factorised_encoder", "width": 16, "depth": 1, "temporal_depth": 1, "heads": 2, "patch_size": 8},
    **{"pooling": "mean"},
}
BYTES_OF_A_VIDEO = 2 * 16 * 16 * 2  # 2 frames of 4 x 4 tokens of 16 channels in bfloat16

Plan = Callable[..., FeatureExtraction]


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return small_trained_model(name="vivit_tiny", **VIVIT)


def of_four_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "_BYTES_OF_A_FILE", 4 * BYTES_OF_A_VIDEO)


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of four videos."""
    of_four_videos(monkeypatch)


@pytest.fixture
def plan(trained: TrainedModel, lists: dict[str, pathlib.Path]) -> Plan:
    """Plans features of the validation videos, of which there are 11."""
    return lambda folder, **options: plan_features(trained, lists["validation"], folder, batch_size=8, **options)


@pytest.fixture(scope="module")
def written_once(
    trained: TrainedModel, lists: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("features")
    with pytest.MonkeyPatch.context() as patched:
        of_four_videos(patched)
        plan_features(trained, lists["validation"], folder, batch_size=8).run()
    return folder


@pytest.fixture
def written(written_once: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of what `plan` makes."""
    return shutil.copytree(written_once, tmp_path / "written")


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.slow
def test_an_extraction_that_is_killed_goes_on_after_its_last_whole_file(
    plan: Plan, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "11 videos: 2 frames of 16 tokens of 16 channels, bfloat16" in plan(tmp_path / "whole").describe()
    assert plan(tmp_path / "whole").run().computed == 11
    add = FeatureWriter.add

    def die_in_the_second_batch(self: FeatureWriter, rows: np.ndarray, *others: np.ndarray) -> None:
        if rows[0] > 0:
            (tmp_path / "parts" / ".unfinished-left-behind").write_bytes(b"half a file")
            raise KeyboardInterrupt
        add(self, rows, *others)

    with monkeypatch.context() as patched:
        patched.setattr(FeatureWriter, "add", die_in_the_second_batch)
        with pytest.raises(KeyboardInterrupt):
            plan(tmp_path / "parts").run()
    assert "features-00000.safetensors" in contents(tmp_path / "parts")
    with pytest.raises(UserError, match=r"are not finished\. Run the command again"):
        FeatureFolder(tmp_path / "parts")
    assert plan(tmp_path / "parts").run().computed == 7
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "parts").glob(".*")) == [".lock"]
    (tmp_path / "parts" / "features-00002.safetensors").unlink()  # the last of them has three videos
    assert plan(tmp_path / "parts").run().computed == 3
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_other_programs_find_the_videos_and_read_the_tokens(
    written: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    source, folder = open_source(lists["validation"], default_split="validation"), FeatureFolder(written)
    with (written / "videos.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [source[row].id for row in range(11)]
    assert [row["label"] for row in rows] == [source.label_names[source[row].label] for row in range(11)]
    assert rows[9] | {"path": "", "label": ""} == {
        **{"path": "", "label": "", "decoded": "1", "file": "features-00002.safetensors", "place": "1"}
    }
    with safetensors.safe_open(written / rows[9]["file"], framework="np") as tensors:
        assert tensors.get_slice("tokens").get_dtype() == "BF16"
        np.testing.assert_array_equal(tensors.get_tensor("tokens")[1, 0], folder.read(9, 0))
    described = json.loads((written / "features.json").read_text())
    assert described["inputs"]["data.frames"] == 4
    assert described["encoder"]["width"] == 16
    assert "temporal_depth" not in described["encoder"]


def test_a_video_that_cannot_be_decoded_is_said_and_costs_no_other(
    trained: TrainedModel,
    list_with_a_broken_video: tuple[pathlib.Path, pathlib.Path],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, broken = list_with_a_broken_video
    write_weights_folder(tmp_path / "weights", trained)
    command = ["features", str(data), "--checkpoint", str(tmp_path / "weights"), "--out", str(tmp_path / "features")]
    assert main([*command, "--dtype", "float16"]) == 1
    said = capsys.readouterr().out
    assert f"left out, cannot be decoded: {broken}: " in said
    assert f"--config.data.features={tmp_path / 'features'}" in said
    folder, source = FeatureFolder(tmp_path / "features"), open_source(data, default_split="train")
    assert folder.decoded.tolist() == [True] * 23 + [False]
    labels = folder.labels_in(source, "field")
    batches = FeatureBatches(source, folder, labels, batch_size=24, seed=0)
    batch = next(batches)
    batches.close()
    (bad,) = np.flatnonzero(batch["weight"] == 0)
    assert (batch["index"][bad], batch["failed"][bad]) == (23, str(broken))
    assert batch["reason"][bad]
    assert np.abs(batch["clip"][batch["weight"] > 0].astype(np.float32)).max(axis=(1, 2, 3)).all()


def test_views_are_those_of_an_evaluation_and_training_draws_among_them(
    plan: Plan, trained: TrainedModel, tmp_path: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    plan(tmp_path, clips=2, crops=3).run()
    folder, source = FeatureFolder(tmp_path), open_source(lists["validation"], default_split="validation")
    labels = folder.labels_in(source, "field")
    decoded = list(evaluation_batches(source, clip_options(trained.config), batch_size=16, clips=2, crops=3))
    stored = list(feature_views(folder, labels, batch_size=16))
    assert len(stored) == len(decoded)
    for of_videos, of_features in zip(decoded, stored, strict=True):
        for name in ("index", "view", "label", "weight"):
            np.testing.assert_array_equal(of_features[name], of_videos[name], err_msg=name)
    batches = FeatureBatches(source, folder, labels, batch_size=11, seed=0)
    drawn = set()
    for batch in (next(batches) for _ in range(4)):
        for clip, row in zip(batch["clip"], batch["index"].tolist(), strict=True):
            alike = [view for view in range(6) if (folder.read(row, view) == clip).all()]
            assert alike
            drawn |= {alike[0]} if 0 not in alike or 3 not in alike else set()  # clips of short videos may be equal
    assert {0, 3} <= drawn
    batches.close()


def test_averaged_tokens_are_those_of_the_model_that_averages(
    plan: Plan, trained: TrainedModel, tmp_path: pathlib.Path
) -> None:
    plan(tmp_path / "all", dtype="float32").run()
    plan(tmp_path / "pooled", dtype="float32", pool=2).run()
    whole, pooled = FeatureFolder(tmp_path / "all").read(0, 0), FeatureFolder(tmp_path / "pooled").read(0, 0)
    blocks = whole.reshape(2, 2, 2, 2, 2, 16).mean(axis=(2, 4)).reshape(2, 4, 16)
    np.testing.assert_allclose(pooled, blocks, rtol=1e-5, atol=1e-6)
    with pytest.raises(UserError, match="cannot be averaged to 5 x 5: frame_pool is 5, but must be at most 4"):
        plan(tmp_path, pool=5)
    small = small_trained_model()
    with pytest.raises(UserError, match="a SmallNetwork has no encoder of single frames"):
        plan_features(small, plan(tmp_path).source.source, tmp_path)


def test_a_folder_holds_one_kind_of_features(
    plan: Plan, written: pathlib.Path, tmp_path: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    with pytest.raises(UserError, match=r"holds other features:\n  dtype is 'bfloat16' there and 'float32' here"):
        plan(written, dtype="float32").run()
    other = small_trained_model(1, name="vivit_tiny", **VIVIT)
    with pytest.raises(UserError, match=r"encoder_weights is '.*' there and '.*' here"):
        plan_features(other, lists["validation"], written).run()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"holds 1 file, such as 'thesis\.tex', and no features"):
        plan(tmp_path / "other").run()


def test_clips_may_be_sampled_as_another_recipe_says(plan: Plan, tmp_path: pathlib.Path) -> None:
    asked = ["--config.data.sampling=dense", "--config.data.stride=2"]
    inputs = plan(tmp_path, overrides=asked).description.inputs
    assert (inputs["data.sampling"], inputs["data.stride"]) == ("dense", 2)
    assert "data.stride" not in plan(tmp_path).description.inputs
    with pytest.raises(UserError, match=r"the config field data\.size is not for features"):
        plan(tmp_path, overrides=["--config.data.size=64"])


def test_a_disk_without_room_is_said_before_anything_is_computed(
    plan: Plan, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = dataclasses.make_dataclass("Usage", ["total", "used", "free"])(10**4, 0, 10**4)
    monkeypatch.setattr(feature_writer.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"the features take 1\.13e-05 GB, but .* has 1e-05 GB free"):
        plan(tmp_path).run()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "has the format version 99 of features"),
        ({"shape": [2, 16]}, "is no description of features, or is damaged"),
        ({"videos": "many"}, "is no description of features, or is damaged"),
        ({"undecodable": [{"row": 99, "video": "", "reason": ""}]}, "that could not be decoded is none of them"),
        ({"data_fingerprint": "0"}, "features-00000.safetensors cannot be used: it is of other features"),
    ],
)
def test_a_damaged_description_is_refused(written: pathlib.Path, change: dict[str, object], message: str) -> None:
    file = written / "features.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UserError, match=message):
        FeatureFolder(written)
