"""Weights folders: nothing is lost in them, and nothing that is wrong with one passes."""

import dataclasses
import json
import math
import os
import pathlib
import random
import shutil
import struct
from collections.abc import Callable
from typing import Any

import chex
import jax
import numpy as np
import pytest
import safetensors.numpy
from full_disk import files_of_at_most
from small_trained_model import small_trained_model

import motion_vit
from motion_vit import UserError
from motion_vit.training.checkpoints.checksums import checksum_of
from motion_vit.training.checkpoints.model_description import description_of, read_description
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weight_dtypes import compress, expand, stored_shapes
from motion_vit.training.checkpoints.weights_folder import read_tensors, read_weights_folder, write_weights_folder
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.config import to_json


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return small_trained_model()


@pytest.fixture(scope="module")
def written(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A weights folder that no test changes."""
    folder = tmp_path_factory.mktemp("weights") / "folder"
    write_weights_folder(folder, trained)
    return folder


@pytest.fixture
def copied(written: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A weights folder to be damaged."""
    return shutil.copytree(written, tmp_path / "copied")


def change_config(folder: pathlib.Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps({**values, "checksum": None}))


def become_uniformer(values: dict[str, Any], **options: object) -> None:
    """Makes a description say that it is of a model with more options."""
    values["model"] = {"name": "uniformer_tiny", "options": values["model"]["options"] | options}


def change_weights(folder: pathlib.Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    path = folder / "model.safetensors"
    arrays = safetensors.numpy.load_file(path)
    change(arrays)
    safetensors.numpy.save_file(arrays, path)
    change_config(folder, lambda values: values["files"].update({path.name: checksum_of(path)._asdict()}))


def test_everything_comes_back_bit_for_bit(tmp_path: pathlib.Path) -> None:
    trained = dataclasses.replace(
        small_trained_model(), averaged=True, evaluation={"top1": 0.5, "data": "validation.csv"}
    )
    trained.config.data.channel_order = "bgr"
    write_weights_folder(tmp_path / "folder", trained)
    read = read_weights_folder(tmp_path / "folder")
    chex.assert_trees_all_equal(read.variables, trained.variables)
    assert read.model == trained.model
    assert json.loads(to_json(read.config)) == json.loads(to_json(trained.config))
    for name in ("label_names", "step", "averaged", "evaluation"):
        assert getattr(read, name) == getattr(trained, name), name
    write_weights_folder(tmp_path / "again", read)
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "folder" / name).read_bytes()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8-weights"])
def test_small_forms_take_less_room_and_come_back_as_they_were_stored(
    dtype: str, trained: TrainedModel, written: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    write_weights_folder(tmp_path / "folder", trained, dtype=dtype)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (tmp_path / "folder", written)]
    assert sizes[0] < (0.35 if dtype == "int8-weights" else 0.55) * sizes[1]
    read = read_weights_folder(tmp_path / "folder")
    chex.assert_trees_all_equal(read.variables, expand(compress(trained.variables, dtype)))
    assert json.loads((tmp_path / "folder" / "config.json").read_text())["weights_dtype"] == dtype


def test_tensors_are_called_by_their_path_for_whoever_reads_them(written: pathlib.Path, trained: TrainedModel) -> None:
    arrays = safetensors.numpy.load_file(written / "model.safetensors")
    np.testing.assert_array_equal(arrays["params/head/kernel"], trained.variables["params"]["head"]["kernel"])
    np.testing.assert_array_equal(arrays["batch_stats/norm/mean"], trained.variables["batch_stats"]["norm"]["mean"])


def test_the_description_spells_out_every_option_and_the_preprocessing() -> None:
    trained = small_trained_model(name="uniformer_emim_tiny", depths=(1, 1, 1, 1), window=5)
    values = description_of(trained)
    rebuilt = motion_vit.create_model(values["model"]["name"], **values["model"]["options"])
    assert rebuilt == trained.model
    assert values["model"]["options"]["window"] == 5
    assert values["model"]["options"]["mlp_ratio"] == 4.0
    assert values["preprocessing"] == {
        **{
            "frames": 4,
            "extra_frames": 0,
            "image_size": 32,
            "sampling": "segment",
            "stride": 4,
            "fps": 0.0,
            "channel_order": "rgb",
        },
        **{"mean": [0.45] * 3, "std": [0.225] * 3, "pixel_range": [0, 1], "layout": "b t h w c"},
    }
    assert values["label_names"] == [f"class {number}" for number in range(10)]


def test_the_notes_of_a_run_and_its_folders_are_not_given_away() -> None:
    trained = small_trained_model()
    trained.config.notes = {"who": "somebody"}
    trained.config.data.train = "/home/somebody/videos"
    description = json.dumps(description_of(trained))
    assert "somebody" not in description
    assert '"notes": null' in description


def test_variables_lie_on_the_devices_that_are_asked_for(written: pathlib.Path) -> None:
    for devices in (jax.devices()[2:3], jax.devices()):
        read = read_weights_folder(written, mesh=meshes.data_mesh(devices))
        assert all(leaf.devices() == set(devices) for leaf in jax.tree.leaves(read.variables))
        assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(read.variables))


def test_fields_of_the_recipe_that_this_version_does_not_know_do_not_matter(copied: pathlib.Path) -> None:
    change_config(copied, lambda values: values["recipe"].update(telepathy=True) or values["recipe"].pop("seed"))
    assert read_weights_folder(copied).config.seed == 0


def test_what_is_said_about_the_inputs_decides_over_the_recipe(copied: pathlib.Path) -> None:
    change_config(copied, lambda values: values["preprocessing"].update(mean=[0.1, 0.2, 0.3], channel_order="bgr"))
    config = read_weights_folder(copied).config
    assert list(config.data.mean) == [0.1, 0.2, 0.3]
    assert config.data.channel_order == "bgr"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format_version=3), "has format_version 3, .*this version reads up to 2. Install a newer"),
        (lambda v: v.update(format_version="1"), "has format_version '1'"),
        (lambda v: v.update(format="timm"), "is no description of a motion_vit model: its format is 'timm'"),
        (lambda v: v.pop("label_names"), "the field label_names is missing"),
        (lambda v: v["label_names"].pop(), "the model has 10 classes, but there are 9 label_names"),
        (lambda v: v["label_names"].__setitem__(1, "class 0"), "label_names must be different texts"),
        (lambda v: v["model"].update(name="smal"), "unknown model 'smal'. Did you mean 'small'"),
        (lambda v: v["model"]["options"].update(windw=3), "unknown option 'windw'"),
        (lambda v: v["model"].update(options=[]), "options is a list, but must be a dict"),
        (lambda v: v["preprocessing"].update(frames=8), "frames is 8 in preprocessing and 4 in the model's options"),
        (lambda v: v["preprocessing"].update(channel_order="xyz"), "data.channel_order is 'xyz'"),
        (lambda v: v["preprocessing"].pop("mean"), "the field mean is missing"),
        (lambda v: v["preprocessing"].update(std=[0, 1, 1]), "data.std"),
        (lambda v: v.update(weights_dtype="int4"), "weights_dtype is 'int4', but must be one of float32, bfloat16"),
        (lambda v: v.update(step=True), "step is a bool, but must be a int"),
        (lambda v: v.update(step=10**400), "step is a whole number of 1329 bits, but must be a whole number from 0"),
        (lambda v: v["evaluation"].update(top1=math.nan), "evaluation.top1 is nan, but must be a number from 0 to 1"),
        (lambda v: v["model"]["options"].update(num_classes=10**9), "num_classes is 1000000000, but must be a whole"),
        (lambda v: v["preprocessing"].update(mean=None), "data.mean is None"),
        (
            lambda v: v["preprocessing"].update(frames=10**9) or v["model"]["options"].update(frames=10**9),
            "frames is 1000000000, but must be a whole number from 1 to 16384",
        ),
        (lambda v: become_uniformer(v, depths=[1, 10**9, 1, 1]), r"depths is \(1, 1000000000, 1, 1\), but"),
        (
            lambda v: become_uniformer(v, window=10**5 + 1),
            "window is 100001, but must be an odd whole .* 255",
        ),
        (lambda v: v["model"]["options"].update(dtype=3), "dtype is a int, but must be a str"),
        (lambda v: become_uniformer(v, mlp_ratio=-1), "mlp_ratio is -1, but must be a number above 0"),
        (lambda v: become_uniformer(v, mlp_ratio=0), "mlp_ratio is 0, but must be a number above 0"),
        (lambda v: become_uniformer(v, layer_scale="big"), "layer_scale is 'big', but must be None, or a number"),
        (
            lambda v: become_uniformer(v, placement="lg", frame_offset=4),
            "cannot take clips of 4 frames of 32 x 32 pixels: expected at least 5 frames",
        ),
        (lambda v: become_uniformer(v, widths=["a", 1, 1, 1]), "widths is .*, but must be a tuple of 4 items"),
    ],
)
def test_a_config_that_does_not_describe_the_model_is_answered_with_what_is_wrong(
    change: Callable[[dict[str, Any]], object], message: str, copied: pathlib.Path
) -> None:
    change_config(copied, change)
    with pytest.raises(UserError, match=message) as raised:
        read_weights_folder(copied)
    assert str(copied / "config.json") in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [0.1, 0.2, 0.3]}, r"mean is \(0.1, 0.2, 0.3\) in preprocessing and \(0.45, 0.45, 0.45\) in the"),
        ({"std": [0.2, 0.2, 0.2]}, r"std is \(0.2, 0.2, 0.2\) in preprocessing and \(0.225, 0.225, 0.225\) in the"),
        ({"channel_order": "bgr"}, "channel_order is bgr in preprocessing and rgb in the model's options"),
        ({"extra_frames": 0}, "extra_frames is 0 in preprocessing and 1 in the model's options, but must be the same"),
        ({"extra_frames": "1"}, "extra_frames is a str, but must be a int"),
    ],
)
def test_an_input_adapter_computes_with_the_inputs_that_are_described(
    change: dict[str, object], message: str, tmp_path: pathlib.Path
) -> None:
    write_weights_folder(tmp_path / "folder", small_trained_model(input_adapter="motion_prompt"))
    read_weights_folder(tmp_path / "folder")
    change_config(tmp_path / "folder", lambda values: values["preprocessing"].update(change))
    with pytest.raises(UserError, match=message):
        read_weights_folder(tmp_path / "folder")


def test_a_folder_from_before_there_were_input_adapters_is_read(copied: pathlib.Path) -> None:
    change_config(copied, lambda values: values["preprocessing"].pop("extra_frames"))
    assert read_weights_folder(copied).model.clip_shape[0] == 4


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"format"', "[" * 100_000, "\x00\xff"])
def test_a_damaged_config_is_named(text: str, copied: pathlib.Path) -> None:
    (copied / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        read_weights_folder(copied)


def flipped(content: bytes, draw: random.Random, *, around: range | None = None) -> bytes:
    """The content with one to four changed bits."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 4])):
        changed[draw.choice(around or range(len(content)))] ^= 1 << draw.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("dtype", ["float32", "int8-weights"])
def test_changed_bits_anywhere_in_the_weights_are_noticed(
    dtype: str, trained: TrainedModel, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "folder"
    write_weights_folder(folder, trained, dtype=dtype)
    described = read_description(folder / "config.json")
    expected = stored_shapes(described.shapes, described.weights_dtype)
    path, draw = folder / "model.safetensors", random.Random(3)
    original = path.read_bytes()
    header = range(8 + struct.unpack("<Q", original[:8])[0])
    read_tensors(path, expected, described.files[path.name])
    for around in [header] * 150 + [None] * 150:
        path.write_bytes(changed := flipped(original, draw, around=around))
        if changed == original:
            continue
        with pytest.raises(UserError, match=r"(?s)model\.safetensors.*[Cc]opy"):
            read_tensors(path, expected, described.files[path.name])


def test_changed_bits_in_the_description_are_noticed_or_change_nothing(copied: pathlib.Path) -> None:
    path, draw = copied / "config.json", random.Random(4)
    original = path.read_bytes()
    before, messages = json.loads(original), []
    for _ in range(500):
        path.write_bytes(flipped(original, draw))
        try:
            read_description(path)
        except UserError as error:
            messages.append(str(error))
        else:
            assert json.loads(path.read_bytes()) == before  # such as 1E-08 for 1e-08
    assert len(messages) > 450
    assert all("config.json" in message for message in messages)


def test_a_description_that_was_edited_by_hand_says_how_to_use_it(copied: pathlib.Path) -> None:
    path = copied / "config.json"
    values = json.loads(path.read_text())
    values["label_names"][0] = "opening"
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r'config\.json is damaged: .*edited the file yourself, set "checksum": null'):
        read_weights_folder(copied)
    change_config(copied, lambda values: None)
    assert read_weights_folder(copied).label_names[0] == "opening"


def test_another_layout_of_the_description_is_the_same_description(copied: pathlib.Path) -> None:
    path = copied / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True).replace(", ", ",\r\n"))
    assert read_weights_folder(copied).step == 21


def test_a_folder_without_checksums_is_used_and_said_to_be_unchecked(
    copied: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    read_weights_folder(copied)
    assert not caplog.messages
    change_config(copied, lambda values: values.update(format_version=1) or values.pop("files"))
    read_weights_folder(copied)
    assert len(caplog.messages) == 1
    assert "model.safetensors has no checksum" in caplog.messages[0]


def test_a_missing_file_is_named(copied: pathlib.Path) -> None:
    (copied / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"there is no file .*model\.safetensors"):
        read_weights_folder(copied)
    (copied / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json is missing"):
        read_weights_folder(copied)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("params/head/bias"), r"lacks params/head/bias \(10,\)"),
        (lambda a: a.update(extra=np.zeros(3, np.float32)), r"the model has no extra \(3,\)"),
        (
            lambda a: a.update({"params/head/kernel": np.zeros((128, 9), np.float32)}),
            r"params/head/kernel is \(128, 9\) in the checkpoint, but \(128, 10\) in the model",
        ),
        (lambda a: a["params/head/kernel"].__setitem__(0, np.nan), "NaN or infinite: params/head/kernel"),
        (lambda a: a["batch_stats/norm/var"].__setitem__(0, np.inf), "NaN or infinite: batch_stats/norm/var"),
        (
            lambda a: a.update({"params/head/bias": np.zeros(10, np.float16)}),
            "params/head/bias in float16, but must hold it in float32, as the weights_dtype",
        ),
        (lambda a: a.update({"params/head/bias": np.zeros(10, np.int64)}), "params/head/bias of .* is of dtype I64"),
    ],
)
def test_weights_that_are_not_those_of_the_model_are_named(
    change: Callable[[dict[str, np.ndarray]], object], message: str, copied: pathlib.Path
) -> None:
    change_weights(copied, change)
    with pytest.raises(UserError, match=message):
        read_weights_folder(copied)


def with_header(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file: the length of the header, the header, the data."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def tensor(shape: list[int], begin: int, end: int) -> dict[str, object]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


HOSTILE = {
    "empty": b"",
    "no safetensors file": b"PK\x03\x04 this is something else",
    "a header longer than the file": with_header(b"{}", length=2**62),
    "a tensor larger than the file": with_header(json.dumps({"a": tensor([2**40], 0, 2**42)}).encode()),
    "sizes that overflow": with_header(json.dumps({"a": tensor([2**62, 2**62], 0, 16)}).encode(), bytes(16)),
    "tensors that overlap": with_header(
        json.dumps({"a": tensor([4], 0, 16), "b": tensor([4], 0, 16)}).encode(), bytes(16)
    ),
    "a shape that is not that of the data": with_header(json.dumps({"a": tensor([400], 0, 16)}).encode(), bytes(16)),
    "a header that is no JSON": with_header(b"{" * 64),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_claims_what_it_does_not_hold_is_refused_before_anything_is_read(
    content: bytes, copied: pathlib.Path
) -> None:
    (copied / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors cannot be read as a safetensors file"):
        read_weights_folder(copied)


@pytest.mark.parametrize("kept", [4, 100, -1, -5000])
def test_a_truncated_file_is_named(kept: int, copied: pathlib.Path) -> None:
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"model\.safetensors cannot be read as a safetensors file.*Copy it again"):
        read_weights_folder(copied)


def test_weights_that_are_not_finite_are_not_written(trained: TrainedModel, tmp_path: pathlib.Path) -> None:
    broken = jax.tree.map(np.copy, trained.variables)
    broken["params"]["head"]["bias"][3] = np.nan
    with pytest.raises(UserError, match="NaN or infinite: params/head/bias"):
        write_weights_folder(tmp_path / "folder", dataclasses.replace(trained, variables=broken))
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_nothing_that_has_the_name_of_the_folder(
    trained: TrainedModel, tmp_path: pathlib.Path
) -> None:
    told = pytest.raises(UserError, match=r"the folder .*folder cannot be written: .*Check the free space")
    # Room for the description, and for a part of the weights.
    with files_of_at_most(20_000), told:
        write_weights_folder(tmp_path / "folder", trained)
    assert os.listdir(tmp_path) == []


def test_whoever_may_read_the_description_may_read_the_weights(written: pathlib.Path) -> None:
    modes = {(written / name).stat().st_mode for name in ("config.json", "model.safetensors")}
    assert len(modes) == 1


def test_nothing_is_overwritten(trained: TrainedModel, copied: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = (copied / "config.json").read_bytes()
    with pytest.raises(UserError, match=r"is not empty \(it holds 'config\.json'\), and nothing is overwritten"):
        write_weights_folder(copied, trained, dtype="float16")
    assert (copied / "config.json").read_bytes() == before
    with pytest.raises(UserError, match="is a file; give a new or an empty folder"):
        write_weights_folder(copied / "config.json", trained)
    (tmp_path / "empty").mkdir()
    write_weights_folder(tmp_path / "empty", trained)
    assert sorted(os.listdir(tmp_path / "empty")) == ["config.json", "model.safetensors"]
