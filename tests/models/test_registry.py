import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import motion_vit
from motion_vit.models.checked_model import checked_model
from motion_vit.models.options import model_options


@pytest.mark.fast_cases("resnet18_tiny", "vivit_tiny")
@pytest.mark.parametrize("name", motion_vit.list_models())
def test_every_listed_model_builds_with_a_given_number_of_classes(name):
    model = motion_vit.create_model(name, num_classes=7)
    clips = np.zeros((1, 2, 32, 32, 3), np.float32)
    logits, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), clips)
    assert logits.shape == (1, 7)


@pytest.mark.parametrize("name", ["resnet18_tiny", "uniformer_emim_tiny", "videomae_tiny"])
def test_equal_models_have_equal_hashes(name):
    given, standard = motion_vit.create_model(name, dtype="float32"), motion_vit.create_model(name)
    assert given == standard
    assert hash(given) == hash(standard)


def test_options_take_the_forms_of_a_config_file():
    model = motion_vit.create_model("uniformer_emim_tiny", depths=[1, 1, 1, 1], dtype="bfloat16")
    assert (model.depths, model.dtype) == ((1, 1, 1, 1), jnp.bfloat16)


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("uniformer_emim_x", {}, "Did you mean 'uniformer_emim_s'"),
        ("two_stream", {}, r"install its package with an entry point of the group motion_vit\.plugins"),
        ("uniformer_small_k400_16x8", {}, "`motion-vit models` lists are of weights"),
        ("uniformer_emim_s", {"windw": 7}, "Did you mean 'window'"),
        ("uniformer_emim_s", {"window": 4}, "window is 4, but must be an odd whole number"),
        ("uniformer_emim_s", {"placement": "local"}, "must be one of lg, gl"),
        ("uniformer_emim_s", {"head_channels": 60}, "must divide the widths"),
        ("uniformer_emim_s", {"head_channels": 0}, "must be a whole number from 1"),
        ("uniformer_emim_s", {"window": 4, "num_classes": 0}, "num_classes is 0.*; window is 4"),
        ("uniformer_emim_s", {"depths": (1, 2)}, "a tuple of 4 items, one a stage"),
        ("uniformer_emim_s", {"dtype": "float31"}, "dtype is 'float31', but must be one of float32, bfloat16, float16"),
        ("uniformer_emim_s", {"widths": ("a", 8, 8, 8)}, "one a stage, each a whole number"),
        ("uniformer_emim_s", {"depths": (1.5, 1, 1, 1)}, "one a stage, each a whole number"),
        ("uniformer_emim_s", {"stochastic_depth": 1.0}, "a number from 0 to below 1"),
        ("uniformer_emim_s", {"num_classes": 0}, "num_classes is 0, but must be a whole number from 1"),
        ("uniformer_emim_s", {"batch_norm_groups": 0}, "batch_norm_groups is 0, but must be a whole number from 1"),
        ("uniformer_emim_s", {"remat": "dots"}, "must be one of none, matmuls, blocks"),
        ("uniformer_emim_s", {"remat": True}, "remat is True, but must be one of none"),
        ("uniformer_emim_s", {"window": "7"}, "window is '7', but must be an odd whole number"),
    ],
)
def test_a_wrong_name_or_option_is_explained(name, options, message):
    with pytest.raises(motion_vit.UserError, match=message):
        motion_vit.create_model(name, **options)


@pytest.mark.mistyped
@pytest.mark.parametrize(
    "name",
    [
        *("uniformer_emim_tiny", "timesformer_tiny", "resnet18_tiny", "slowfast_tiny"),
        *("i3d_inception_tiny", "x3d_tiny", "mobilenetv2_tiny", "r2plus1d_tiny"),
    ],
)
@pytest.mark.parametrize("adapter", ["none", "motion_prompt"])
@pytest.mark.parametrize(
    "dtype",
    ["int32", "uint8", "bool", bool, int, "complex64", "float8_e4m3fn", "float64", float, ">f4", "", None, (1,)],
)
def test_models_compute_in_no_dtype_that_loses_the_weights(name, adapter, dtype):
    message = re.escape(f"dtype is {dtype!r}, but must be one of float32, bfloat16, float16")
    with pytest.raises(motion_vit.UserError, match=message):
        motion_vit.create_model(name, dtype=dtype, input_adapter=adapter)
    model_class = type(motion_vit.create_model(name))
    with pytest.raises(ValueError, match=message):
        model_class(dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", jnp.bfloat16, np.dtype("float16"), np.float32])
def test_models_compute_in_dtypes_of_floating_point_whatever_names_them(dtype):
    assert motion_vit.create_model("uniformer_tiny", dtype=dtype).dtype == jnp.dtype(dtype)


@pytest.mark.fast_cases("*_tiny-*")
@pytest.mark.mistyped
@pytest.mark.parametrize("adapter", ["none", "motion_prompt"])
@pytest.mark.parametrize("name", motion_vit.list_models())
def test_pixels_that_are_not_normalised_are_refused(name, adapter):
    model = motion_vit.create_model(name, frames=2, image_size=32, input_adapter=adapter)
    for dtype in (jnp.uint8, jnp.int32, jnp.bool):
        pixels = jax.ShapeDtypeStruct((1, *model.clip_shape), dtype)
        with pytest.raises(ValueError, match=rf"got {pixels.dtype}: scale pixels to \[0, 1\], subtract the mean"):
            jax.eval_shape(model.init, jax.random.key(0), pixels)


@pytest.mark.fast_cases("resnet18_tiny-*", "timesformer_tiny-*")
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize(
    "name", ["uniformer_tiny", "resnet18_tiny", "timesformer_tiny", "slowfast_tiny", "mobilenetv2_tiny"]
)
def test_normalised_clips_may_have_any_floating_point_dtype(name, dtype):
    model = motion_vit.create_model(name, frames=2, image_size=32)
    clips = jax.ShapeDtypeStruct((1, *model.clip_shape), dtype)
    logits, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), clips)
    assert logits.shape == (1, model.num_classes)


@pytest.mark.mistyped
@pytest.mark.parametrize("name", [None, 3, ["uniformer_tiny"], {}, b"uniformer_tiny", motion_vit])
def test_a_name_that_is_no_text_is_told(name):
    with pytest.raises(motion_vit.UserError, match=r"the model is named .*, but a name is a text"):
        motion_vit.create_model(name)


@pytest.mark.mistyped
@pytest.mark.parametrize("number", [np.int64(10), np.uint8(10), np.array(10), jnp.array(10), jnp.int32(10)])
def test_numbers_of_other_libraries_are_taken_as_pythons_own(number):
    depths = np.array([1, 1, 1, 1])
    model = motion_vit.create_model("uniformer_tiny", num_classes=number, depths=depths, dropout=np.float32(0.5))
    assert json.loads(json.dumps(model_options(model)))["num_classes"] == 10
    assert (model.depths, model.dropout) == ((1, 1, 1, 1), 0.5)
    same = motion_vit.create_model("uniformer_tiny", num_classes=10, depths=[number // 10] * 4, dropout=0.5)
    assert model == same
    with pytest.raises(motion_vit.UserError, match=r"num_classes is 10\.0, but must be a whole number"):
        motion_vit.create_model("uniformer_tiny", num_classes=np.float64(number))


def test_the_limits_of_options_hold_for_numbers_of_numpy():
    with pytest.raises(motion_vit.UserError, match="each a whole number from 1 to 50"):
        checked_model("uniformer_tiny", {"depths": (np.int64(10**6), 1, 1, 1)})
