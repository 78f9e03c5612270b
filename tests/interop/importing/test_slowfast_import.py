"""Weights of SlowFast, Slow, C2D and I3D: in by the names of two repositories, out by those of PyTorchVideo."""

import functools

import goldens
import jax
import numpy as np
import pytest
from drawn_variables import random_variables

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.families.slowfast import slowfast_network_clips, slowfast_options
from motion_vit.interop.importing.import_weights import import_weights
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.registry import create_model
from motion_vit.training.checkpoints.weight_dtypes import compress

ONE_PATHWAY = {"fast_pathway": False, "depths": (1, 2, 2, 2), "frames": 4}
POOLED = ONE_PATHWAY | {"temporal_pool": True}
OPTIONS = {
    "slowfast_tiny": {"depths": (1, 2, 2, 1), "channel_ratio": 8, "lateral_kernel": 7},
    "slow_tiny": ONE_PATHWAY,
    "c2d_tiny": POOLED | {"temporal_convolutions": "none"},
    "i3d_tiny": POOLED | {"temporal_convolutions": "alternating"},
}


@functools.cache
def weights(name):
    shapes = goldens.slowfast_names("shapes")[name]
    return {entry: goldens.weight(entry, tuple(shape)) for entry, shape in shapes.items()}


def in_the_slowfast_repository(name):
    """The weights by the other names; those of C2D are as those of I3D."""
    names = goldens.slowfast_names("slowfast_repository")["i3d_tiny" if name == "c2d_tiny" else name]
    return {names[entry]: value for entry, value in weights(name).items()}


def build(name, **options):
    return create_model("slowfast_tiny", **OPTIONS[name] | options)


@pytest.mark.fast_cases("i3d_tiny")
@pytest.mark.parametrize("name", OPTIONS)
def test_weights_of_both_repositories_go_in_and_out_with_no_bit_changed(name):
    model = build(name)
    for source in (
        weights(name),
        in_the_slowfast_repository(name),
        {f"model.{n}": w for n, w in weights(name).items()},
    ):
        variables, report = load_torch(model, source)
        assert report.complete
        found = torch_state_dict(model, compress(variables, "float32"), step=0)
        assert found.keys() == weights(name).keys()
        for entry, array in found.items():
            original = weights(name)[entry]
            assert (array.shape, array.tobytes()) == (original.shape, original.tobytes()), entry


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_read_off_the_names_and_shapes(name):
    model = build(name)
    for source in (weights(name), in_the_slowfast_repository(name)):
        found = slowfast_options({entry: value.shape for entry, value in source.items()})
        assert {option: getattr(model, option) for option in found} == found
        assert {
            "widths",
            "depths",
            "num_classes",
            "fast_pathway",
            "temporal_convolutions",
            "motion_module",
        } <= found.keys()
        assert ("channel_ratio" in found) == ("lateral_kernel" in found) == model.fast_pathway
        assert ("temporal_pool" in found) == (not model.fast_pathway and source is weights(name))


@pytest.mark.fast_cases("c2d_tiny-*", "slow_tiny-*")
@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("c2d_tiny", {"temporal_pool": False}, "temporal_pool=True. Create it so"),
        ("slow_tiny", {"temporal_convolutions": "none"}, "temporal_convolutions=late. Create it so"),
        ("slowfast_tiny", {"lateral_kernel": 5}, "lateral_kernel=7. Create it so"),
        ("slowfast_tiny", {"num_classes": 7}, "num_classes=10. Create it so"),
    ],
)
def test_weights_of_another_network_are_refused(source, target, message):
    with pytest.raises(CheckpointImportError, match=message):
        load_torch(build(source, **target), weights(source))


def test_weights_of_released_networks_take_clips_as_their_settings_say(tmp_path):
    assert slowfast_network_clips({"num_classes": 400, "fast_pathway": True}) == {
        "channel_order": "rgb",
        "sampling": "dense",
        "stride": 2,
    }
    assert slowfast_network_clips({"num_classes": 400, "fast_pathway": False})["stride"] == 8
    assert slowfast_network_clips({"num_classes": 174, "fast_pathway": True}) == {
        "channel_order": "rgb",
        "sampling": "segment",
    }
    result = import_weights(
        weights("slowfast_tiny"), "slowfast_tiny", tmp_path / "out", options=OPTIONS["slowfast_tiny"]
    )
    assert any("frame_ratio=4" in note for note in result.notes)
    assert motion_vit.load(tmp_path / "out").model.lateral_kernel == 7


@pytest.mark.slow
def test_motion_modules_go_out_and_in_with_no_bit_changed():
    options = {"motion_module": "tdn+tam", "motion_pathways": "fast", "depths": (1, 1, 1, 1), "image_size": 96}
    model = build("slowfast_tiny", channel_ratio=2, **options)
    rng = np.random.default_rng(0)
    variables = random_variables(model, rng)
    again, report = load_torch(model, torch_state_dict(model, compress(variables, "float32"), step=0))
    assert report.complete
    assert jax.tree.all(jax.tree.map(np.array_equal, again, variables))
