"""The encoder of frames of a ViViT, whose tokens can be kept: what belongs to it, and what averages its tokens."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_variables import drawn_variables
from flax import traverse_util

import motion_vit
from motion_vit.models.video_model import VideoModel
from motion_vit.training.features.encoder_facts import encoder_options, encoder_variables

TINY = {
    **{"attention": "factorised_encoder", "width": 16, "depth": 1, "temporal_depth": 1, "heads": 2, "patch_size": 8},
    **{"image_size": 32, "frames": 4, "num_classes": 5, "motion_module": "tea", "window": 3},
}
CLIPS = jax.ShapeDtypeStruct((1, 4, 32, 32, 3), jnp.float32)


def tiny(**options: object) -> VideoModel:
    return motion_vit.create_model("vivit_tiny", **TINY | options)


def encoder_program(model: VideoModel) -> str:
    variables = encoder_variables(model, jax.eval_shape(model.init, jax.random.key(0), CLIPS))
    return str(jax.make_jaxpr(functools.partial(model.apply, method="frame_tokens"))(variables, CLIPS))


def paths(variables: Any) -> set[str]:
    return set(traverse_util.flatten_dict(dict(variables), sep="/"))


@pytest.mark.parametrize("pooling", ["class_token", "mean"])
def test_the_encoder_has_the_variables_that_its_tokens_need_and_no_others(pooling: str) -> None:
    model = tiny(pooling=pooling)
    whole = jax.eval_shape(model.init, jax.random.key(0), CLIPS)
    needed = jax.eval_shape(functools.partial(model.init, method="frame_tokens"), jax.random.key(0), CLIPS)
    chosen = paths(encoder_variables(model, whole))
    assert chosen == paths(needed)
    assert any(path.startswith("batch_stats/") for path in chosen)


@pytest.mark.fast_cases("others0")
@pytest.mark.parametrize(
    "others",
    [{"temporal_depth": 2, "num_classes": 7}, {"adapter": "attention", "adapter_queries": 2}, {"adapter": "emim"}],
)
def test_options_of_what_follows_change_nothing_of_the_encoder(others: dict[str, object]) -> None:
    model, other = tiny(), tiny(**others)
    assert encoder_options(model) == encoder_options(other)
    assert encoder_program(model) == encoder_program(other)


@pytest.mark.parametrize("others", [{"heads": 4}, {"window": 5}, {"frame_pool": 2}, {"motion_module": "none"}])
def test_options_of_the_encoder_are_told(others: dict[str, object]) -> None:
    with_cost_volumes = {"placement": "lg", "pooling": "mean"}
    expected = encoder_options(tiny(**with_cost_volumes)) | others
    assert encoder_options(tiny(**with_cost_volumes | others)) == expected


@pytest.mark.fast_cases("mean")
@pytest.mark.parametrize("pooling", ["class_token", "mean"])
def test_averaged_tokens_follow_the_class_token_and_are_what_is_classified(pooling: str) -> None:
    whole, averaged = (tiny(pooling=pooling, frame_pool=pool, motion_module="none") for pool in (0, 2))
    clips = jax.device_put(np.random.default_rng(0).standard_normal((2, 4, 32, 48, 3)).astype(np.float32))
    variables = drawn_variables(whole)
    tokens, means = (
        np.asarray(jax.jit(functools.partial(model.apply, method="frame_tokens"))(variables, clips))
        for model in (whole, averaged)
    )
    first = int(pooling == "class_token")
    np.testing.assert_array_equal(means[:, :, :first], tokens[:, :, :first])
    blocks = tokens[:, :, first:].reshape(2, 2, 2, 2, 2, 3, 16).mean(axis=(3, 5)).reshape(2, 2, 4, 16)
    np.testing.assert_allclose(means[:, :, first:], blocks, rtol=1e-5, atol=1e-5)
    logits = jax.jit(functools.partial(averaged.apply, method="classify_frame_tokens"))(variables, means)
    np.testing.assert_allclose(jax.jit(averaged.apply)(variables, clips), logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_pool": 5}, "frame_pool is 5, but must be at most 4, the patches along a side"),
        ({"frame_pool": 2, "attention": "joint"}, "frame_pool is 2, but attention is 'joint'"),
    ],
)
def test_averages_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(motion_vit.UserError, match=message):
        tiny(**options)
