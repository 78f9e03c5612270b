"""Weights of the I3D of Inception-V1: in and out by the names of piergiaj's PyTorch code."""

import functools

import goldens
import jax
import numpy as np
import pytest
from drawn_variables import drawn_variables

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.families.inception_i3d import inception_i3d_options
from motion_vit.interop.importing.import_weights import import_weights
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.registry import create_model
from motion_vit.training.checkpoints.weight_dtypes import compress

pytestmark = pytest.mark.usefixtures("new_weights_are_ones")

SMALLEST = {"width": 4, "num_classes": 7}


def build(**options):
    return create_model("i3d_inception_tiny", **SMALLEST | options)


@functools.cache
def state_dict(model):
    return torch_state_dict(model, compress(drawn_variables(model), "float32"), step=0)


def test_names_are_those_of_the_authors_code():
    found = state_dict(build())
    golden = goldens.load("i3d_inception_tiny")
    names = {*golden["train/grad_norm_names"].tolist(), *golden["train/buffer_norm_names"].tolist()}
    assert {name for name in found if not name.endswith(".num_batches_tracked")} == names
    assert found["Conv3d_1a_7x7.conv3d.weight"].shape == (4, 3, 7, 7, 7)
    assert found["Mixed_3b.b1b.conv3d.weight"].shape == (8, 6, 3, 3, 3)
    assert found["logits.conv3d.weight"].shape == (7, 64, 1, 1, 1)
    assert inception_i3d_options({name: array.shape for name, array in found.items()}) == {
        "num_classes": 7,
        "width": 4,
        "motion_module": "none",
    }


@pytest.mark.fast_cases("options1")
@pytest.mark.parametrize("options", [{"motion_module": "tdn+tam"}, {"input_adapter": "motion_prompt"}])
def test_weights_go_out_and_in_with_no_bit_changed(options):
    model = build(image_size=96, **options)
    variables = drawn_variables(model)
    exported = torch_state_dict(model, compress(variables, "float32"), step=0)
    again, report = load_torch(model, exported)
    assert report.complete
    assert jax.tree.all(jax.tree.map(np.array_equal, again, variables))


@pytest.mark.fast_cases("options2-*")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 8}, "The weights are of a model with width=4. Create it so"),
        ({"num_classes": 5}, "num_classes=7. Create it so"),
        ({"motion_module": "m2a"}, r"motion_module=none. Create it so.\nOr --new motion"),
    ],
)
def test_weights_of_another_network_are_refused(options, message):
    with pytest.raises(CheckpointImportError, match=message):
        load_torch(build(**options), state_dict(build()))


def test_motion_modules_start_anew_in_a_trained_network():
    model = build(motion_module="m2a")
    _, report = load_torch(model, state_dict(build()), anew=["motion"])
    assert report.complete
    assert len(report.anew) == 9 * 4
    assert all(".motion." in name for name in report.anew)


@pytest.mark.slow
def test_weights_of_kinetics_take_all_frames_and_pixels_from_minus_one_to_one(tmp_path):
    options = {"width": 1, "num_classes": 400}
    import_weights(state_dict(build(**options)), "i3d_inception_tiny", tmp_path / "out", options=options)
    data = motion_vit.load(tmp_path / "out").config.data
    assert (tuple(data.mean), tuple(data.std)) == ((0.5,) * 3, (0.5,) * 3)
    assert (data.channel_order, data.sampling, data.stride) == ("rgb", "dense", 1)
