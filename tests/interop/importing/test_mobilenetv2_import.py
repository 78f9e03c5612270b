"""Weights of MobileNetV2: in by the names of TSN, TSM, M2A and torchvision, out by those of the TSN class."""

import functools
import re

import goldens
import jax
import numpy as np
import pytest
from drawn_variables import random_variables
from flax import traverse_util

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.families.imagenet import IMAGENET_MEAN
from motion_vit.interop.families.mobilenetv2 import mobilenetv2_clips, mobilenetv2_options
from motion_vit.interop.families.registry import torch_entries
from motion_vit.interop.importing.import_weights import import_weights
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.checked_model import variable_shapes
from motion_vit.training.checkpoints.weight_dtypes import compress

pytestmark = pytest.mark.usefixtures("new_weights_are_ones")

OPTIONS = {
    "tsn": {},
    "tsm": {"temporal_shift": True},
    "m2a": {"motion_module": "m2a"},
    "m2a_tsm": {"motion_module": "m2a", "temporal_shift": True},
}
TINY = {"width": 0.25, "depths": (1, 2, 1, 2, 1, 1, 1), "last_width": 64}
TORCHVISION_PLACES = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
TORCHVISION_PLACES_WITHOUT_EXPANSION = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}


def create(kind, **options):
    return motion_vit.create_model("mobilenetv2_tiny", **TINY | OPTIONS[kind] | options)


@functools.cache
def weights(kind):
    """Random weights of a small network."""
    return weights_of(create(kind))


def weights_of(model):
    """Random weights under the names of the TSN class."""
    shapes = {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variable_shapes(model), sep="/").items()}
    entries = torch_entries(model, shapes)
    drawn = {
        entry.name: goldens.weight(entry.name, entry.layout.torch_shape(shapes[path]))
        for path, entry in entries.items()
    }
    counters = {
        name.replace("running_mean", "num_batches_tracked"): np.array(0) for name in drawn if "running_mean" in name
    }
    return drawn | counters


def in_torchvision(state_dict):
    """The names of torchvision's network for images, whose blocks nest their layers."""
    renamed = {}
    for name, value in state_dict.items():
        name = name.removeprefix("base_model.").replace("new_fc", "classifier.1")
        if found := re.fullmatch(r"(features\.(\d+)\.conv)\.(\d)(\..*)", name):
            places = TORCHVISION_PLACES_WITHOUT_EXPANSION if found[2] == "1" else TORCHVISION_PLACES
            name = f"{found[1]}.{places[found[3]]}{found[4]}"
        renamed[name] = value
    return renamed


@pytest.mark.fast_cases("tsm", "m2a")
@pytest.mark.parametrize("kind", ["tsn", "tsm", "m2a"])
def test_names_are_those_of_the_goldens(kind):
    golden = goldens.load(f"mobilenetv2/{kind}_tiny")
    model = motion_vit.create_model(f"mobilenetv2_{kind}")
    entries = torch_entries(model, traverse_util.flatten_dict(variable_shapes(model), sep="/"))
    names = [*golden["train/grad_norm_names"].tolist(), *golden["train/buffer_norm_names"].tolist()]
    assert sorted(entry.name for entry in entries.values()) == sorted(names)


@pytest.mark.fast_cases("module.-*", "-m2a_tsm")
@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_go_in_and_out_with_no_bit_changed(kind, prefix):
    model = create(kind)
    variables, report = load_torch(model, {prefix + name: value for name, value in weights(kind).items()})
    assert report.complete
    assert report.prefix == f"{prefix}base_model."
    found = torch_state_dict(model, compress(variables, "float32"), step=0)
    assert found.keys() == weights(kind).keys()
    for name, array in found.items():
        assert (array.shape, array.tobytes()) == (weights(kind)[name].shape, weights(kind)[name].tobytes()), name


@pytest.mark.fast_cases("tsn-tsm", "torchvision-m2a")
@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("renamed", [in_torchvision, lambda tensors: tensors], ids=["torchvision", "tsn"])
def test_a_network_starts_from_one_for_images(kind, renamed):
    model = create(kind)
    variables, report = load_torch(model, renamed(weights("tsn")), anew=["motion"])
    assert report.complete
    expected, _ = load_torch(create("tsn"), weights("tsn"))
    flat = traverse_util.flatten_dict(variables, sep="/")
    for path, value in traverse_util.flatten_dict(expected, sep="/").items():
        np.testing.assert_array_equal(flat.pop(path), value, err_msg=path)
    assert all("/motion/" in path for path in flat)
    assert len(flat) == (8 if "m2a" in kind else 0)


@pytest.mark.parametrize(
    ("source", "target", "anew", "message"),
    [
        ("tsm", "tsn", [], "temporal_shift=True. Create it so"),
        ("tsm", "m2a", ["motion"], "temporal_shift=True. Create it so"),
        ("m2a", "m2a_tsm", [], "temporal_shift=False. Create it so"),
        ("m2a", "tsn", [], "motion_module=m2a"),
        ("tsn", "m2a", [], "--new motion, in Python anew="),
    ],
)
def test_weights_are_refused_where_they_would_mean_something_else(source, target, anew, message):
    with pytest.raises(CheckpointImportError, match=message):
        load_torch(create(target), weights(source), anew=anew)


def test_another_width_number_of_classes_or_blocks_is_named():
    with pytest.raises(CheckpointImportError, match=r"num_classes=10\. Create it so\.\nOr --new head"):
        load_torch(create("tsn", num_classes=7), weights("tsn"))
    half = weights_of(motion_vit.create_model("mobilenetv2_tsm", width=0.5))
    with pytest.raises(CheckpointImportError, match=r"a model with width=0\.5\. Create it so"):
        load_torch(motion_vit.create_model("mobilenetv2_tsm"), half)
    with pytest.raises(CheckpointImportError, match="of another network, mobilenetv2_tsn or mobilenetv2_tsm or"):
        load_torch(create("tsm"), weights_of(motion_vit.create_model("mobilenetv2_tsm")), anew=["head"])


@pytest.mark.fast_cases("0.75")
@pytest.mark.parametrize("width", [0.35, 0.75, 1.4])
def test_options_are_read_off_the_names_and_shapes(width):
    model = motion_vit.create_model("mobilenetv2_m2a", width=width, temporal_shift=True)
    shapes = {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variable_shapes(model), sep="/").items()}
    entries = torch_entries(model, shapes)
    named = {entry.name: entry.layout.torch_shape(shapes[path]) for path, entry in entries.items()}
    found = mobilenetv2_options(named)
    assert found == {option: getattr(model, option) for option in found}
    assert found.keys() >= {"num_classes", "depths", "width", "motion_module", "temporal_shift"}
    assert ("last_width" in found) == (width <= 1)


@pytest.mark.slow
def test_weights_take_clips_as_the_published_ones_did(tmp_path):
    dense = {"sampling": "dense", "stride": 8}
    assert mobilenetv2_clips({"num_classes": 400}).items() >= dense.items()
    images = in_torchvision(weights("tsn"))
    images |= {"classifier.1.weight": np.ones((1000, 64), np.float32), "classifier.1.bias": np.ones(1000, np.float32)}
    options = TINY | {"temporal_shift": True}
    result = import_weights(
        images, "mobilenetv2_tiny", tmp_path / "out", options=options, label_names=["up", "down"], anew=["head"]
    )
    data = motion_vit.load(tmp_path / "out").config.data
    assert (data.channel_order, data.sampling, tuple(data.mean)) == ("rgb", "segment", IMAGENET_MEAN)
    assert any("without a temporal shift" in note for note in result.notes)


@pytest.mark.fast_cases("patch_attention")
@pytest.mark.parametrize("kind", ["tdn+tam", "patch_attention"])
def test_other_motion_modules_go_out_and_in_with_no_bit_changed(kind):
    model = create("tsn", motion_module=kind, image_size=128)
    rng = np.random.default_rng(0)
    variables = random_variables(model, rng)
    again, report = load_torch(model, torch_state_dict(model, compress(variables, "float32"), step=0))
    assert report.complete
    assert jax.tree.all(jax.tree.map(np.array_equal, again, variables))
