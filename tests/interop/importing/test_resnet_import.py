"""ResNet's weights from torchvision, TSN, TSM and M2A: in, out, and which of them a model may start from."""

import functools

import chex
import goldens
import numpy as np
import pytest
from drawn_variables import random_variables

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.families.imagenet import IMAGENET_MEAN
from motion_vit.interop.families.resnet import resnet_options
from motion_vit.interop.importing.import_weights import import_weights
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.training.checkpoints.weight_dtypes import compress

pytestmark = pytest.mark.usefixtures("new_weights_are_ones")

PRESETS = {
    "tsn_resnet18": "resnet18_tsn",
    "tsm_resnet18": "resnet18_tsm",
    "m2a_resnet18": "resnet18_m2a",
    "m2a_tsm_resnet18": "resnet18_m2a_tsm",
}


@functools.cache
def weights(golden):
    return goldens.state_dict(golden)


def create(golden, **options):
    return motion_vit.create_model(PRESETS[golden], num_classes=10, **options)


def as_released(state_dict):
    """The names of a checkpoint of the TSN class that TSM and M2A share."""
    return {
        f"module.new_{name}" if name.startswith("fc.") else f"module.base_model.{name}": value
        for name, value in state_dict.items()
    }


@pytest.mark.fast_cases("m2a_tsm_resnet18")
@pytest.mark.parametrize("golden", PRESETS)
def test_a_checkpoint_of_the_authors_goes_in_and_out_with_no_bit_changed(golden):
    model = create(golden)
    variables, report = load_torch(model, as_released(weights(golden)))
    assert report.complete
    assert report.prefix == "module.base_model."
    found = torch_state_dict(model, compress(variables, "float32"), step=0)
    assert found.keys() == weights(golden).keys()
    for name, array in found.items():
        assert (array.shape, array.tobytes()) == (weights(golden)[name].shape, weights(golden)[name].tobytes()), name


@pytest.mark.fast_cases("tsn-tsm", "tsn-m2a_tsm")
@pytest.mark.parametrize(("source", "target"), [("tsn", "tsm"), ("tsn", "m2a"), ("tsn", "m2a_tsm"), ("tsm", "m2a_tsm")])
def test_a_network_starts_from_one_with_less_before_its_convolutions(source, target):
    source, target = weights(f"{source}_resnet18"), create(f"{target}_resnet18")
    variables, report = load_torch(target, source, anew=["motion"])
    assert report.complete
    assert len(report.anew) == (32 if target.motion_module == "m2a" else 0)
    block = variables["params"]["stage3"]["block1"]
    (name,) = (name for name in source if name.startswith("layer3.1.conv1."))
    assert block["conv1"]["kernel"][2, 1, 7, 200] == source[name][200, 7, 2, 1]


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
        load_torch(create(f"{target}_resnet18"), weights(f"{source}_resnet18"), anew=anew)


def test_another_number_of_classes_or_blocks_is_named():
    with pytest.raises(CheckpointImportError, match=r"num_classes=10\. Create it so\.\nOr --new head"):
        load_torch(motion_vit.create_model("resnet18_tsn"), weights("tsn_resnet18"))
    with pytest.raises(CheckpointImportError, match="of another network, resnet18_tsn or resnet18_tsm"):
        load_torch(motion_vit.create_model("resnet18_tsn", depths=(1, 1, 1, 1)), weights("tsn_resnet18"))


def test_options_are_read_off_the_names_and_shapes():
    shapes = {name: value.shape for name, value in weights("m2a_tsm_resnet18").items()}
    assert resnet_options(shapes) == {
        "num_classes": 10,
        "widths": (64, 128, 256, 512),
        "depths": (2, 2, 2, 2),
        "bottleneck": False,
        "temporal_shift": True,
        "motion_module": "m2a",
    }


def test_image_weights_are_taken_with_the_colours_of_imagenet(tmp_path):
    imagenet = weights("tsn_resnet18") | {"fc.weight": np.ones((1000, 512), np.float32), "fc.bias": np.ones(1000)}
    result = import_weights(imagenet, "resnet18_tsm", tmp_path / "out", label_names=["up", "down"], anew=["head"])
    data = motion_vit.load(tmp_path / "out").config.data
    assert (data.channel_order, data.sampling, tuple(data.mean)) == ("rgb", "segment", IMAGENET_MEAN)
    assert result.report.replaced == {"fc.weight": (1000, 512), "fc.bias": (1000,)}
    assert any("without a temporal shift" in note for note in result.notes)


KINDS = ("attention", "motion", "tea", "tdn", "tam", "patch_attention", "motion+tam", "tdn+tam", "tea+attention")


SHALLOW = {
    "resnet18_tiny": {"depths": (1, 1, 1, 1), "image_size": 96},
    "timesformer_tiny": {"depth": 1},
    "uniformer_tiny": {"depths": (1, 1, 1, 1), "image_size": 128},
}


@pytest.mark.fast_cases("resnet18_tiny-motion+tam", "resnet18_tiny-tdn", "timesformer_tiny-*")
@pytest.mark.parametrize(
    ("network", "kind"),
    [*(("resnet18_tiny", kind) for kind in KINDS), ("timesformer_tiny", "tdn+tam"), ("uniformer_tiny", "tdn+tam")],
)
def test_every_motion_module_of_every_network_goes_out_and_in_with_no_bit_changed(network, kind):
    model = motion_vit.create_model(network, motion_module=kind, **SHALLOW[network])
    rng = np.random.default_rng(0)
    variables = random_variables(model, rng)
    again, report = load_torch(model, torch_state_dict(model, compress(variables, "float32"), step=0))
    assert report.complete
    assert not report.anew
    chex.assert_trees_all_equal(again, variables, strict=True)
