"""The public layers refuse fields and inputs that they would compute something else from without a word."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit import M2A, Emim, MotionPrompt
from motion_vit.models.registry import create_model

LAYERS = {"emim": Emim(heads=2, window=3), "m2a": M2A(), "prompt": MotionPrompt()}
CHANNELS = {"emim": 16, "m2a": 16, "prompt": 3}


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("layer", "fields", "message"),
    [
        (Emim, {"neighbours": "prev"}, "neighbours of Emim is 'prev', but must be one of next, both"),
        (Emim, {"neighbours": None}, "neighbours of Emim is None"),
        (Emim, {"motion_input": "logits"}, "motion_input of Emim is 'logits', but must be one of affinity, softmax"),
        (Emim, {"implementation": "cuda"}, "unknown implementation 'cuda'"),
        *[
            (Emim, {"window": window}, "window is .*, but must be a positive odd")
            for window in (2, 0, -3, 3.0, "3", None)
        ],
        *[
            (
                layer,
                {field: value},
                f"{field} of {layer.__name__} is {value!r}, but must be a whole number of 1 or more",
            )
            for layer, field in [
                *[(Emim, "heads"), (Emim, "frame_offset")],
                *[(M2A, "reduction"), (M2A, "patch_size"), (M2A, "batch_norm_groups")],
            ]
            for value in (0, -1, 2.0, "2", None)
        ],
        (Emim, {"dtype": jnp.int32}, "dtype is .*int32.*, but must be one of float32, bfloat16, float16"),
        (M2A, {"dtype": "uint8"}, "dtype is 'uint8', but must be one of float32, bfloat16, float16"),
        (M2A, {"motion": "prev"}, "motion of M2A is 'prev', but must be one of none, difference"),
        (M2A, {"attention": "all"}, "attention of M2A is 'all', but must be one of none, frames"),
        (MotionPrompt, {"channel_order": "rbg"}, "channel_order of MotionPrompt is 'rbg', but must be one of rgb, bgr"),
        (MotionPrompt, {"grey_weights": "mean"}, "grey_weights of MotionPrompt is 'mean', but must be one of rgb, bgr"),
        *[
            (MotionPrompt, {field: value}, f"{field} of MotionPrompt is .*, but must be three numbers")
            for field in ("mean", "std")
            for value in (0.5, (0.5, 0.5), (0.5, 0.5, float("nan")), (0.5,) * 4)
        ],
    ],
)
def test_a_field_that_a_layer_cannot_have_is_told(layer, fields, message):
    with pytest.raises(ValueError, match=message):
        layer(**({"heads": 2} if layer is Emim else {}) | fields)


@pytest.mark.mistyped
@pytest.mark.parametrize("name", LAYERS)
def test_what_are_no_features_of_clips_is_told(name):
    channels = CHANNELS[name]
    for shape in [(4, 8, 8, channels), (8, channels), (1, 2, 4, 8, 8, channels), ()]:
        with pytest.raises(
            ValueError, match=r"expected (features|clips) \[batch, frames, height, width, (channels|3)\]"
        ):
            LAYERS[name].init(jax.random.key(0), np.zeros(shape, np.float32))
    for dtype in (jnp.uint8, jnp.int32, jnp.bool):
        with pytest.raises(ValueError, match=f"floating point numbers, got {jnp.dtype(dtype)}: "):
            LAYERS[name].init(jax.random.key(0), jnp.zeros((1, 4, 8, 8, channels), dtype))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_features_of_any_floating_point_dtype_are_taken(name, dtype):
    x = jax.ShapeDtypeStruct((1, 4, 8, 8, CHANNELS[name]), dtype)
    jax.eval_shape(LAYERS[name].init, jax.random.key(0), x)


@pytest.mark.mistyped
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_motion_prompts_are_made_of_red_green_and_blue(channels):
    with pytest.raises(ValueError, match=r"expected clips \[batch, frames, height, width, 3\], got"):
        MotionPrompt().init(jax.random.key(0), np.zeros((1, 4, 8, 8, channels), np.float32))


@pytest.mark.mistyped
def test_whole_numbers_of_numpy_are_taken():
    layer = Emim(heads=np.int64(2), window=np.int32(3), frame_offset=np.uint8(1), neighbours="both")
    x = jnp.zeros((1, 4, 8, 8, 16))
    jax.eval_shape(layer.init, jax.random.key(0), x)


@pytest.mark.mistyped
def test_a_prompted_model_still_refuses_what_are_no_clips():
    model = create_model("resnet18_tiny", input_adapter="motion_prompt")
    with pytest.raises(ValueError, match="expected clips"):
        jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 4, 32, 32, 4), np.float32))
