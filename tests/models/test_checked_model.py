"""Whatever is wrong with a model's options is told as a mistake: nothing of JAX's or Flax's own comes through."""

import contextlib
from collections.abc import Iterator
from typing import Any

import chex
import jax
import numpy as np
import pytest

from motion_vit import UserError, list_models
from motion_vit.models.checked_model import checked_model
from motion_vit.models.options import model_options, options_by_effect
from motion_vit.models.registry import create_model

TINY = [name for name in list_models() if name.endswith("_tiny")]
# One of each class: their options are the same.
CLASSES = list({type(create_model(name)): name for name in TINY}.values())
ADAPTER = {"input_adapter": "motion_prompt"}
# Their smallest networks with every kind of part.
SMALL: dict[str, dict[str, Any]] = {
    name: {"frames": 2, "image_size": 32, **({"depths": (1, 1, 1, 1)} if "uniformer" in name else {})} for name in TINY
}
SMALL["timesformer_tiny"]["depth"] = SMALL["videomae_tiny"]["depth"] = 1
SMALL["video_swin_tiny"]["depths"] = (2,)
SMALL["mvit_v2_tiny"]["depths"] = (1, 1)
SMALL["vivit_tiny"]["depth"] = 1

# Of every kind that a command line or a config file can hold.
VALUES = (
    *(None, True, -1, 0, 1, 3, 10**30, -1.0, 0.5, float("nan"), float("inf"), 1 + 2j),
    *("", "big", "(1", "float32", b"big"),
    *((), (1, 2), (0, 0, 0, 0), (8, 8, "a", 8), [-1, 4, 4, 4], (10**20, 64, 96, 128), (0.5, float("nan"), 0.5)),
    *({}, {"a": 1}, {1}),
)


@contextlib.contextmanager
def answered(name: str, options: dict[str, Any]) -> Iterator[None]:
    """Names the case in which anything but a mistake is raised."""
    try:
        yield
    except UserError:
        pass
    except Exception as error:
        raise AssertionError(f"{name} with {options} ends in {error!r}") from error


@pytest.mark.fast_cases("*_tiny-alone", "uniformer_emim_tiny-prompted")
@pytest.mark.mistyped
@pytest.mark.parametrize("adapter", [{}, ADAPTER], ids=["alone", "prompted"])
@pytest.mark.parametrize("name", list_models())
def test_a_value_of_another_kind_is_told_with_its_option(name: str, adapter: dict[str, str]) -> None:
    model = create_model(name, **adapter)
    own = model_options(model)
    for option, usual in own.items():
        if option == "input_adapter":
            continue
        for value in (b"big", {"a": 1}, {1}, 1 + 2j, object()):
            with pytest.raises(UserError, match=f"{option} is .*, but must"):
                checked_model(name, {**adapter, option: value})
        if option in options_by_effect(model, "implementation"):
            with pytest.raises(UserError, match=f"{option} is 'foo', but must be None, or one of .*xla"):
                checked_model(name, {**adapter, option: "foo"})
        elif isinstance(usual, str) and option != "dtype":
            with pytest.raises(UserError, match=f"{option} is 'foo', but must be one of"):
                checked_model(name, {**adapter, option: "foo"})
        elif option != "frame_axis":
            with pytest.raises(UserError, match=f"{option} is 'foo', but must"):
                checked_model(name, {**adapter, option: "foo"})


@pytest.mark.fast_cases("resnet18_tiny-prompted")
@pytest.mark.mistyped
@pytest.mark.parametrize("adapter", [{}, ADAPTER], ids=["alone", "prompted"])
@pytest.mark.parametrize("name", CLASSES)
def test_any_value_of_any_option_is_taken_or_told(name: str, adapter: dict[str, str]) -> None:
    backbone = model_options(create_model(name))
    for option in model_options(create_model(name, **adapter)):
        if adapter and option in backbone:
            continue  # an adapter hands it on
        for value in VALUES:
            options = {**SMALL[name], **adapter, option: value}
            with answered(name, options), jax.numpy_dtype_promotion("standard"):
                checked_model(name, options)


@pytest.mark.fast_cases("resnet18_tiny-*")
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
@pytest.mark.parametrize("dtype", ["float16", "float64", "float8_e4m3fn", "int8", "bool", "complex64", "U", "f4,f4"])
@pytest.mark.parametrize("name", TINY)
def test_any_dtype_is_taken_or_told(name: str, dtype: str) -> None:
    with answered(name, {"dtype": dtype}), jax.numpy_dtype_promotion("standard"):
        checked_model(name, {"frames": 2, "image_size": 32, "dtype": dtype})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("uniformer_tiny", {"image_size": 16}, "clips of 16 frames of 16 x 16 pixels: expected clips of at least 32"),
        ("uniformer_emim_tiny", {"frames": 1}, "clips of 1 frame of 64 x 64 pixels: expected at least 2 frames"),
        ("uniformer_emim_tiny", {"frames": 4, "frame_offset": 4}, "expected at least 5 frames"),
        ("uniformer_emim_tiny", {"frames": 4, "stem_temporal_stride": 4}, "expected at least 5 frames"),
        ("uniformer_tiny", {"image_size": 16, **ADAPTER}, "clips of 17 frames of 16 x 16 pixels: expected clips of at"),
        ("uniformer_tiny", {"attention_implementation": "cudnn"}, "pixels: cuDNN is not detected"),
        ("uniformer_tiny", {"attention_implementation": "pallas", "dtype": "float16"}, "takes float32 and bfloat16"),
        ("timesformer_tiny", {"frames": 1, "temporal_attention": "cost_volume"}, "expected at least 2 frames"),
        ("uniformer_tiny", {"depths": (10**9, 1, 1, 1)}, "each a whole number from 1 to 50"),
        (
            "timesformer_tiny",
            {"pixel_std": (1.0, 0.0, 1.0), **ADAPTER},
            "pixel_std is .* from 1e-06 to 1000",
        ),
        ("uniformer_tiny", {"layer_scale": float("nan")}, "layer_scale is nan, but must be None, or a number"),
    ],
)
def test_what_a_model_refuses_is_told_with_its_options(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as told:
        checked_model(name, options)
    assert next(iter(options)) in str(told.value)


@pytest.mark.fast_cases("resnet18_tiny", "vivit_tiny")
@pytest.mark.parametrize("name", TINY)
def test_the_shapes_are_those_of_the_variables(name: str) -> None:
    traced = checked_model(name, {"frames": 2, "image_size": 32})
    model, shapes = traced.model, traced.shapes
    clips = np.zeros((1, *model.clip_shape), np.float32)
    assert shapes == {"batch_stats": {}, **jax.eval_shape(model.init, jax.random.key(0), clips)}
    assert shapes["params"]["head"]["kernel"].shape[1] == model.num_classes
    assert bool(shapes["batch_stats"]) == (
        name not in ("timesformer_tiny", "videomae_tiny", "video_swin_tiny", "mvit_v2_tiny", "vivit_tiny")
    )


# With cost volumes, with running statistics, and with a token that is not of the clip: the tracing knows no families.
@pytest.mark.fast_cases("vivit_tiny")
@pytest.mark.parametrize("name", ["uniformer_emim_tiny", "resnet18_tiny", "vivit_tiny"])
def test_the_traced_initialisation_draws_what_the_model_itself_draws(name: str) -> None:
    traced = checked_model(name, SMALL[name])
    clips = np.zeros((1, *traced.model.clip_shape), np.float32)
    expected = jax.jit(traced.model.init)(jax.random.key(7), clips)
    found = jax.jit(traced.init)(jax.random.key(7))
    chex.assert_trees_all_equal(found["params"], expected["params"])
    chex.assert_trees_all_equal(found["batch_stats"], expected.get("batch_stats", {}))


@pytest.mark.parametrize("key", [jax.random.key(7, impl="rbg"), jax.random.PRNGKey(7)], ids=["rbg", "raw"])
def test_the_traced_initialisation_takes_keys_of_any_kind(key: jax.Array) -> None:
    traced = checked_model("resnet18_tiny", {"frames": 2, "image_size": 32})
    clips = np.zeros((1, *traced.model.clip_shape), np.float32)
    expected = jax.jit(traced.model.init)(key, clips)
    chex.assert_trees_all_equal(jax.jit(traced.init)(key), expected)


@pytest.mark.parametrize("shape", [(1, 0, 32, 32, 3), (1, 4, 32, 0, 3)], ids=["no frames", "no columns"])
@pytest.mark.parametrize("name", CLASSES)
def test_clips_of_nothing_are_refused_in_words(name: str, shape: tuple[int, ...]) -> None:
    model = create_model(name, **SMALL[name])
    with pytest.raises(ValueError, match="expected clips of at least one frame and one pixel, got"):
        jax.eval_shape(model.init, jax.random.key(0), np.zeros(shape, np.float32))
