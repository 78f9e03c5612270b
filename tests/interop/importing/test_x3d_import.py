"""Weights of X3D: in and out by the names of two repositories."""

import functools

import goldens
import jax
import numpy as np
import pytest
from drawn_variables import random_variables

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.families.x3d import x3d_clips, x3d_options
from motion_vit.interop.importing.import_weights import import_weights
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.registry import create_model
from motion_vit.training.checkpoints.weight_dtypes import compress

PYTORCHVIDEO, REPOSITORY = "x3d_tiny", "x3d_tiny_slowfast_repository"


@functools.cache
def weights(name):
    shapes = goldens.x3d_names()["shapes"][name]
    return {entry: goldens.weight(entry, tuple(shape)) for entry, shape in shapes.items()}


def in_the_other_names(name):
    """The same weights by the names of the repository that has no such network."""
    theirs = goldens.x3d_names()["slowfast_repository"]
    if name == PYTORCHVIDEO:
        return {theirs[entry]: value for entry, value in weights(name).items()}
    ours = {entry: name for name, entry in theirs.items()}
    norm = ("s2.pathway0_res0.branch1_bn.", "blocks.1.res_blocks.0.branch1_norm.")
    return {ours.get(entry, entry.replace(*norm)): value for entry, value in weights(name).items()}


def build(name, **options):
    return create_model("x3d_tiny", stride_norm=name == REPOSITORY, **options)


@pytest.mark.fast_cases("x3d_tiny")
@pytest.mark.parametrize("name", [PYTORCHVIDEO, REPOSITORY])
def test_weights_of_both_repositories_go_in_and_out_with_no_bit_changed(name):
    model = build(name)
    for source in (weights(name), in_the_other_names(name), {f"model.{n}": w for n, w in weights(name).items()}):
        variables, report = load_torch(model, source)
        assert report.complete
        found = torch_state_dict(model, compress(variables, "float32"), step=0)
        assert found.keys() == weights(name).keys()
        for entry, array in found.items():
            original = weights(name)[entry]
            assert (array.shape, array.tobytes()) == (original.shape, original.tobytes()), entry


@pytest.mark.parametrize("name", [PYTORCHVIDEO, REPOSITORY])
def test_options_are_read_off_the_names_and_shapes(name):
    model = build(name)
    for source in (weights(name), in_the_other_names(name)):
        found = x3d_options({entry: value.shape for entry, value in source.items()})
        assert found.keys() == {
            *("num_classes", "widths", "depths", "inner_ratio", "head_features", "stride_norm", "motion_module")
        }
        assert {option: getattr(model, option) for option in found} == found


@pytest.mark.fast_cases("x3d_tiny")
@pytest.mark.parametrize("name", [PYTORCHVIDEO, REPOSITORY])
def test_an_import_chooses_the_network_that_the_weights_are_of(name, tmp_path):
    result = import_weights(weights(name), "x3d_tiny", tmp_path / "out")
    assert result.report.complete
    assert motion_vit.load(tmp_path / "out").model.stride_norm == (name == REPOSITORY)
    assert any("frames=4" in note for note in result.notes)


@pytest.mark.fast_cases("x3d_tiny-target1-*")
@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (PYTORCHVIDEO, {"depths": (1, 1, 2, 2)}, "of another network, x3d_tiny. Create that one"),
        (PYTORCHVIDEO, {"head_features": 64}, "head_features=128. Create it so"),
        (PYTORCHVIDEO, {"stride_norm": True}, "stride_norm=False. Create it so"),
        (REPOSITORY, {"stride_norm": False}, "stride_norm=True. Create it so"),
    ],
)
def test_weights_of_another_network_are_refused(source, target, message):
    with pytest.raises(CheckpointImportError, match=message):
        load_torch(create_model("x3d_tiny", **target), weights(source))


def test_weights_of_released_networks_take_clips_as_their_settings_say():
    assert x3d_clips({"num_classes": 400}) == {"channel_order": "rgb", "sampling": "dense"}
    assert x3d_clips({"num_classes": 99}) == {"channel_order": "rgb"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [PYTORCHVIDEO, REPOSITORY])
def test_motion_modules_go_out_and_in_with_no_bit_changed(name):
    model = build(name, motion_module="tdn+tam", widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), image_size=96)
    rng = np.random.default_rng(0)
    variables = random_variables(model, rng)
    again, report = load_torch(model, torch_state_dict(model, compress(variables, "float32"), step=0))
    assert report.complete
    assert jax.tree.all(jax.tree.map(np.array_equal, again, variables))
