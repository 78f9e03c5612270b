"""From a file of foreign weights to a weights folder: what is recorded, and that nothing is written otherwise."""

import functools
import json

import chex
import goldens
import jax
import numpy as np
import pytest

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.families.uniformer import uniformer_clips
from motion_vit.interop.importing.import_weights import import_weights
from motion_vit.interop.importing.label_file import read_label_file
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.training.checkpoints.load_trained import load_trained
from motion_vit.training.checkpoints.weight_dtypes import compress

NAMES = tuple(f"pushing thing {number}" for number in range(10))


golden = functools.cache(goldens.state_dict)


def weights_of(num_classes=10, network="uniformer_emim_tiny"):
    weights = dict(golden(network))
    weights["head.weight"] = np.ones((num_classes, 128), np.float32)
    weights["head.bias"] = np.zeros(num_classes, np.float32)
    return weights


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("import") / "deep" / "tiny"
    source = folder.parent.parent / "weights.npz"
    np.savez(source, **golden("uniformer_emim_tiny"))
    options = {"frames": 8, "image_size": 96}
    clips = {"channel_order": "bgr", "mean": (0.5, 0.4, 0.3), "sampling": "dense", "stride": 2}
    result = import_weights(source, "uniformer_emim_tiny", folder, options=options, label_names=NAMES, clips=clips)
    return folder, result


def test_the_folder_holds_the_weights_with_no_bit_changed(imported):
    folder, _ = imported
    expected, _ = load_torch(motion_vit.create_model("uniformer_emim_tiny"), golden("uniformer_emim_tiny"))
    found = load_trained(folder).variables
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    chex.assert_trees_all_equal(found, expected, strict=True)


def test_label_names_model_and_clips_are_recorded_with_the_weights(imported):
    trained = load_trained(imported[0])
    assert trained.label_names == NAMES
    assert (trained.model.frames, trained.model.image_size, trained.model.num_classes) == (8, 96, 10)
    data = trained.config.data
    assert (data.frames, data.size, data.sampling, data.stride, data.channel_order) == (8, 96, "dense", 2, "bgr")
    assert tuple(data.mean) == (0.5, 0.4, 0.3)
    assert tuple(data.std) == (0.225, 0.225, 0.225)


def test_the_report_lies_beside_the_weights(imported):
    folder, result = imported
    written = json.loads((folder / "import_report.json").read_text())
    assert written == json.loads(json.dumps(result.to_dict()))
    assert written["complete"] is True
    assert len(written["loaded"]) == len(jax.tree.leaves(result.trained.variables))
    assert written["model"] == "uniformer_emim_tiny"


def test_a_file_in_this_librarys_names_is_taken_in_too(imported, tmp_path):
    folder, result = imported
    again = import_weights(folder / "model.safetensors", "uniformer_emim_tiny", tmp_path / "again")
    chex.assert_trees_all_equal(again.trained.variables, result.trained.variables)
    assert not again.report.reshaped


def test_without_labels_the_number_of_classes_is_the_weights_own(tmp_path):
    result = import_weights(weights_of(174), "uniformer_emim_tiny", tmp_path / "out")
    assert load_trained(tmp_path / "out").label_names == tuple(f"class {number}" for number in range(174))
    assert any("have no names" in note for note in result.notes)


@pytest.mark.parametrize(("others", "expected"), [(1234, 1234), (99, 0)])
def test_the_steps_of_the_source_are_kept_where_its_counters_agree(others, expected, tmp_path):
    weights = weights_of()
    counters = [name for name in weights if name.endswith("num_batches_tracked")]
    weights |= {name: np.array(others, np.int64) for name in counters} | {counters[0]: np.array(1234, np.int64)}
    trained = import_weights(weights, "uniformer_emim_tiny", tmp_path / "out").trained
    assert trained.step == load_trained(tmp_path / "out").step == expected
    exported = torch_state_dict(trained.model, compress(trained.variables, "float32"), trained.step)
    assert {exported[name].item() for name in counters} == {expected}


@pytest.mark.fast_cases("174-*")
@pytest.mark.parametrize(("num_classes", "order", "sampling"), [(174, "bgr", "segment"), (400, "rgb", "dense")])
def test_clips_are_taken_as_the_authors_did_for_their_datasets(tmp_path, num_classes, order, sampling):
    result = import_weights(weights_of(num_classes), "uniformer_emim_tiny", tmp_path / "out")
    data = load_trained(tmp_path / "out").config.data
    assert (data.channel_order, data.sampling) == (order, sampling)
    assert any(f"colours are taken as {order}" in note for note in result.notes)


def test_the_order_of_colours_is_that_of_image_weights_for_other_numbers_of_classes():
    assert uniformer_clips({"num_classes": 1000}) == {"channel_order": "rgb"}
    assert uniformer_clips({}) == {"channel_order": "rgb"}


def test_labels_that_do_not_match_the_weights_are_refused(tmp_path):
    with pytest.raises(
        motion_vit.UserError,
        match=r"there are 9 label names, but the weights of the mapping tell 10 classes apart.*--new head",
    ):
        import_weights(weights_of(), "uniformer_emim_tiny", tmp_path / "out", label_names=NAMES[:9])
    with pytest.raises(motion_vit.UserError, match="there are 10 label names, but num_classes is 4"):
        import_weights(
            weights_of(),
            "uniformer_emim_tiny",
            tmp_path / "out",
            label_names=NAMES,
            options={"num_classes": 4},
            anew=["head"],
        )
    assert not list(tmp_path.iterdir())


def test_a_new_head_needs_a_number_of_classes(tmp_path):
    with pytest.raises(motion_vit.UserError, match=r"number of classes is not known.*--labels"):
        import_weights(weights_of(), "uniformer_emim_tiny", tmp_path / "out", anew=["head"])


def test_weights_that_do_not_fit_leave_nothing_behind(tmp_path):
    weights = weights_of()
    del weights["norm.bias"]
    with pytest.raises(CheckpointImportError, match=r"norm\.bias"):
        import_weights(weights, "uniformer_emim_tiny", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(motion_vit.UserError, match=r"not empty"):
        import_weights(weights_of(), "uniformer_emim_tiny", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_plain_uniformer_starts_emim_whose_motion_weights_are_new(tmp_path):
    weights = weights_of(10, "uniformer_tiny")
    result = import_weights(weights, "uniformer_emim_tiny", tmp_path / "out", anew=["motion"], strict=True)
    assert result.report.complete
    assert len(result.report.anew) == 10
    assert any("stem_temporal_stride=2" in note for note in result.notes)
    emim = load_trained(tmp_path / "out").variables["params"]["stage3"]["block0"]["attention"]
    np.testing.assert_array_equal(emim["qkv"]["kernel"], weights["blocks3.0.attn.qkv.weight"].T)
    assert np.asarray(emim["rpb"]).any()
    assert not np.asarray(emim["motion"]["fc2"]["kernel"]).any()  # so that the motion branch adds nothing at first


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("names.txt", "one\ntwo, with a comma\n\n three \n"),
        ("names.txt", "two, with a comma\t1\none\t0\nthree\t2\n"),
        ("names.json", '["one", "two, with a comma", "three"]'),
        ("names.json", '{"one": "0", "three": "2", "two, with a comma": "1"}'),
        ("names.json", '{"\\"one\\"": 0, "three": 2, "\\"two, with a comma\\"": 1}'),
        ("names.json", '{"0": "one", "2": "three", "1": "two, with a comma"}'),
    ],
)
def test_every_published_form_of_label_files_is_read(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert read_label_file(tmp_path / name) == ("one", "two, with a comma", "three")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("names.txt", "", "it holds no names"),
        ("names.txt", "one\ntwo\none\n", "names 'one' 2 times"),
        ("names.json", "[1, 2]", "neither a list of names nor"),
        ("names.json", "{", "is not understood"),
        ("names.json", '{"one": 0, "two": 2}', "the numbers of its 2 names are not those from 0 to 1"),
        ("names.json", '{"one": [], "two": 1}', "is not understood"),
        ("names.json", "[" * 100_000, "is not understood"),
    ],
)
def test_a_label_file_of_another_form_is_explained(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(motion_vit.UserError, match=message):
        read_label_file(tmp_path / name)


def test_a_label_file_that_is_absent_is_named(tmp_path):
    with pytest.raises(motion_vit.UserError, match=r"absent\.txt cannot be read: No such file"):
        read_label_file(tmp_path / "absent.txt")


def entries(**shifts):
    """Weights under names, each with a number added to the bias of the head, so that they can be told apart."""
    return {name: {**weights_of(), "head.bias": np.full(10, shift, np.float32)} for name, shift in shifts.items()}


LAYOUTS = {
    "the weights beside their averages": ({**entries(model=1, model_ema=2), "epoch": 3}, "model", ("model_ema",)),
    "averages alone": (entries(ema=1), "ema", ()),
    "DeepSpeed": ({**entries(module=1), "optimizer": {"state": {}}}, "module", ()),
    "averages of DeepSpeed": ({"ema": entries(module=1)}, "ema.module", ()),
    "timm": (entries(state_dict=1, state_dict_ema=2), "state_dict", ("state_dict_ema",)),
    "three": (entries(teacher=3, model=1, ema=2), "model", ("teacher", "ema")),
    "deep": ({"state_dict": entries(model=1, model_ema=2)}, "state_dict.model", ("state_dict.model_ema",)),
    "the top": ({**weights_of(), "head.bias": np.ones(10, np.float32)}, "", ()),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_weights_are_found_and_what_else_is_there_is_said(name):
    source, taken, others = LAYOUTS[name]
    model = motion_vit.create_model("uniformer_emim_tiny")
    variables, report = load_torch(model, source)
    np.testing.assert_array_equal(variables["params"]["head"]["bias"], 1)
    assert (report.state, report.other_states) == (taken, others)
    assert all(other in str(report) for other in others)
    assert ("--state" in str(report)) == bool(others)


@pytest.mark.parametrize("form", ["mapping", "file"])
def test_the_entry_can_be_chosen(form, tmp_path):
    source = {**entries(model=1, model_ema=2), "epoch": 3}
    if form == "file":
        torch = pytest.importorskip("torch")
        path = tmp_path / "weights.pth"
        torch.save(jax.tree.map(torch.as_tensor, source), path)
        source = path
    imported = import_weights(source, "uniformer_emim_tiny", tmp_path / "out", label_names=NAMES, state="model_ema")
    np.testing.assert_array_equal(imported.trained.variables["params"]["head"]["bias"], 2)
    assert "these are its model_ema; it also holds model, which --state model" in str(imported)
    message = r"has no entry 'ema' that could hold weights. It has 'model', 'model_ema'."
    with pytest.raises(motion_vit.UserError, match=message):
        import_weights(source, "uniformer_emim_tiny", tmp_path / "other", label_names=NAMES, state="ema")


def test_entries_of_unknown_names_are_offered():
    model = motion_vit.create_model("uniformer_emim_tiny")
    with pytest.raises(motion_vit.UserError, match=r"Weights are in student, teacher: --state student takes them"):
        load_torch(model, entries(student=1, teacher=2))
    variables, _ = load_torch(model, entries(student=1, teacher=2), state="teacher")
    np.testing.assert_array_equal(variables["params"]["head"]["bias"], 2)


def test_names_of_openmmlab_are_recognised():
    weights = {f"backbone.{name}": array for name, array in weights_of().items() if not name.startswith("head.")}
    weights |= {"cls_head.fc_cls.weight": np.ones((10, 128), np.float32), "cls_head.fc_cls.bias": np.zeros(10)}
    with pytest.raises(CheckpointImportError, match=r"those of OpenMMLab \(MMAction2\)"):
        load_torch(motion_vit.create_model("uniformer_emim_tiny"), weights)
