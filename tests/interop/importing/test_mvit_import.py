"""MViTv2's weights of torchvision and of the SlowFast repository: in, out, and what is said."""

import functools

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.families.mvit import mvit_clips, mvit_options
from motion_vit.interop.importing.import_weights import import_weights
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.training.checkpoints.weight_dtypes import compress


def create(**options):
    return motion_vit.create_model("mvit_v2_tiny", **options)


@functools.cache
def golden():
    return goldens.mvit_state_dict()


@functools.cache
def in_the_slowfast_repository():
    """The same weights as PySlowFast saves them."""
    names = goldens.mvit_names("slowfast_repository")
    weights = {names[name]: value for name, value in golden().items()}
    return weights | {"cls_token": weights["cls_token"].reshape(1, 1, -1)}


@pytest.mark.parametrize(
    "source",
    [golden, lambda: {"model_state": in_the_slowfast_repository()}, lambda: {"state_dict": golden()}],
    ids=["torchvision", "slowfast", "nested"],
)
def test_weights_go_in_by_both_namings_and_out_as_torchvisions_with_no_bit_changed(source):
    model = create()
    variables, report = load_torch(model, source())
    assert report.complete
    found = torch_state_dict(model, compress(variables, "float32"), step=0)
    assert found.keys() == golden().keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, golden()[name])


def test_options_are_read_off_names_and_shapes():
    for name in ("mvit_v2_tiny", "mvit_v2_s"):
        found = mvit_options({entry: tuple(shape) for entry, shape in goldens.mvit_names("shapes")[name].items()})
        model = motion_vit.create_model(name)
        assert found == {option: getattr(model, option) for option in found}
        assert found.keys() >= {"num_classes", "width", "heads", "depths", "frames", "image_size", "motion_module"}


@pytest.mark.fast_cases("{'depths': (1, 3)}-*", "{'num_classes': 5}-*")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": (1, 3)}, "another network, mvit_v2_tiny"),
        ({"heads": 2}, "another network, mvit_v2_tiny"),
        ({"num_classes": 5}, "num_classes=10. Create it so"),
        ({"frames": 16}, "frames=8"),
        ({"motion_module": "m2a"}, "--new motion, in Python anew"),
    ],
    ids=str,
)
def test_a_mistake_is_answered_with_what_the_weights_are(options, message):
    with pytest.raises(CheckpointImportError, match=message):
        load_torch(create(**options), in_the_slowfast_repository())


@pytest.mark.slow
def test_resized_tables_give_the_logits_that_the_model_of_the_weights_has_for_such_clips():
    clips = jnp.asarray(np.random.default_rng(0).standard_normal((1, 6, 48, 48, 3)), jnp.float32)
    model, larger = create(), create(frames=6, image_size=48)
    with pytest.raises(CheckpointImportError, match="--resize"):
        load_torch(larger, golden())
    variables, report = load_torch(larger, golden(), resize=True)
    assert "resized linearly:" in str(report)
    assert "blocks.2.attn.rel_pos_t (7, 32) in the source, (5, 32) in the model" in str(report)
    expected = jax.jit(model.apply)(load_torch(model, golden())[0], clips)
    np.testing.assert_allclose(jax.jit(larger.apply)(variables, clips), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("num_classes", "sampling", "stride"), [(174, "segment", None), (400, "dense", 4)])
def test_clips_are_taken_as_the_authors_did(num_classes, sampling, stride):
    shapes = {name: tuple(shape) for name, shape in goldens.mvit_names("shapes")["mvit_v2_s"].items()}
    found = mvit_options(shapes | {"head.1.weight": (num_classes, 768)})
    clips = mvit_clips(found)
    assert (clips["channel_order"], clips["sampling"], clips.get("stride")) == ("rgb", sampling, stride)


def test_an_import_says_that_weights_do_not_tell_the_stride_of_keys(tmp_path):
    result = import_weights(in_the_slowfast_repository(), "mvit_v2_tiny", tmp_path / "out")
    assert any("stride of keys (published: 8); the model has key_stride=4" in note for note in result.notes)
    assert tuple(motion_vit.load(tmp_path / "out").config.data.mean) == (0.45, 0.45, 0.45)
