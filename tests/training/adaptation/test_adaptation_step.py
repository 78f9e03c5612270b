"""What a step of adaptation promises, whatever the method and the model."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_variables import drawn_variables
from flax import linen as nn
from flax import traverse_util
from normed_networks import BatchNormed, LayerNormed
from small_network import SmallNetwork

import motion_vit
from motion_vit import UserError
from motion_vit.models.video_model import Backbone, VideoModel
from motion_vit.training.adaptation.adaptation_step import AdaptationState, AdaptedVideo, make_adaptation_step
from motion_vit.training.adaptation.aligned_layers import aligned_layers, norm_layers
from motion_vit.training.adaptation.norm_layers import LayerStatistics, apply_watching_norms, channel_statistics
from motion_vit.training.adaptation.options import AdaptationOptions

KEY = jax.random.key(0)


@functools.cache
def drawn(model: VideoModel) -> dict[str, Any]:
    """Variables of a small model with statistics that are not those of a new one."""
    return jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.1), drawn_variables(model, seed=2))


def clips_like(model: VideoModel, count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *model.clip_shape), np.float32)


@functools.partial(jax.jit, static_argnums=0)
def measure(model: VideoModel, variables: dict[str, Any], clips: jax.Array) -> dict[str, LayerStatistics]:
    outputs = apply_watching_norms(model, variables, clips).outputs
    return {layer: channel_statistics(output) for layer, output in outputs.items()}


@functools.cache
def compiled_step(model: VideoModel, options: AdaptationOptions) -> tuple[AdaptationState, Callable[..., Any]]:
    """The state before a step, and the step. Statistics are of other clips than any that a test adapts on."""
    source = measure(model, drawn(model), clips_like(model, 1, seed=2))
    adaptation = make_adaptation_step(model, drawn(model), options, source)
    return adaptation.start(drawn(model)), jax.jit(adaptation.step)


def take_step(
    model: VideoModel, views: np.ndarray, clips: np.ndarray, **options: Any
) -> tuple[AdaptationState, AdaptationState, AdaptedVideo]:
    """The state before a step, the one behind it, and what was said of the video."""
    start, step = compiled_step(model, AdaptationOptions(**options))
    return start, *step(start, views, clips, KEY)


def test_with_a_learning_rate_of_zero_the_logits_are_those_of_the_model() -> None:
    model = BatchNormed()
    clips = clips_like(model, 3)
    start, state, video = take_step(model, clips_like(model, 2), clips, learning_rate=0.0)
    plain = jax.jit(model.apply)(drawn(model), clips)
    np.testing.assert_array_equal(video.logits, plain)
    jax.tree.map(np.testing.assert_array_equal, (start.params, start.batch_stats), (state.params, state.batch_stats))
    assert video.losses["align"] > 0
    assert state.videos == 1


def test_views_that_agree_have_no_loss_of_consistency() -> None:
    model = LayerNormed()
    view = clips_like(model, 1)
    *_, video = take_step(model, np.concatenate([view, view]), view)
    assert video.losses["consistency"] < 1e-7


def test_statistics_that_start_at_the_source_are_aligned_on_its_own_clips() -> None:
    model = BatchNormed()
    variables, view = drawn(model), clips_like(model, 1)
    options = AdaptationOptions(start="source")
    adaptation = make_adaptation_step(model, variables, options, measure(model, variables, view))
    step = jax.jit(adaptation.step)
    _, video = step(adaptation.start(variables), np.concatenate([view, view]), view, KEY)
    assert video.losses["align"] < 1e-6
    from_zero = dataclasses.replace(adaptation, options=AdaptationOptions(start="zero"))
    _, video = step(from_zero.start(variables), np.concatenate([view, view]), view, KEY)
    # 0.9 of the source's own statistics are missing.
    expected = sum(float(np.abs(part).mean()) for layer in adaptation.source.values() for part in layer)
    np.testing.assert_allclose(video.losses["align"], 0.9 * expected, rtol=1e-4)


def test_batch_norm_is_estimated_again_layer_by_layer() -> None:
    model = BatchNormed()
    variables, views = drawn(model), clips_like(model, 2)
    _, state, video = take_step(model, views, views, method="norm", alpha=1.0)
    # The first layer's statistics are those of what comes into it, the second's of what the first now makes of it.
    first = nn.Conv(6, (3, 3, 3), padding=[(1, 1)] * 3, use_bias=False)
    inputs = jax.jit(first.apply)({"params": variables["params"]["c1"]}, views)
    values = np.asarray(inputs).reshape(-1, 6)
    np.testing.assert_allclose(state.batch_stats["b1"]["mean"], values.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(state.batch_stats["b1"]["var"], values.var(axis=0, ddof=1), rtol=1e-4)
    trained, _ = jax.jit(functools.partial(model.apply, train=True, mutable=["batch_stats"]))(variables, views)
    np.testing.assert_allclose(video.view_logits, trained, rtol=5e-3)  # up to the unbiased variance
    np.testing.assert_allclose(video.logits, video.view_logits, rtol=1e-5, atol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, state.params, variables["params"])


def test_tent_moves_scales_and_shifts_of_norms_alone_and_makes_views_surer() -> None:
    model = BatchNormed()
    variables, views = drawn(model), clips_like(model, 2)
    source = make_adaptation_step(model, variables, AdaptationOptions(method="tent", learning_rate=0.1))
    step, state = jax.jit(source.step), source.start(variables)
    entropies = []
    for _ in range(6):
        state, video = step(state, views, views, KEY)
        entropies.append(float(video.losses["entropy"]))
    assert entropies[-1] < entropies[0]
    for path, value in traverse_util.flatten_dict(state.params).items():
        moved = np.any(value != traverse_util.flatten_dict(variables["params"])[path])
        assert moved == (path[0] in ("b1", "b2")), path


@pytest.mark.parametrize(
    ("model", "options", "clips"),
    [(LayerNormed(), {}, 1), (BatchNormed(), {"method": "norm", "alpha": 1.0}, 2)],
    ids=["vitta", "norm"],
)
def test_a_video_of_nan_leaves_the_model_as_it_was(model: Backbone, options: dict[str, Any], clips: int) -> None:
    views = clips_like(model, 2)
    views[0, 0, 0, 0, 0] = np.nan
    start, state, video = take_step(model, views, clips_like(model, clips), **options)
    assert not video.finite
    assert np.isfinite(video.logits).all()
    jax.tree.map(np.testing.assert_array_equal, start._replace(videos=0), state._replace(videos=0))


class Noisy(Backbone):
    """Flax's own BatchNorm with its mode as a field, and dropout."""

    num_classes: int = 3
    frames: int = 2
    image_size: int = 4

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        """Classifies clips."""
        x = nn.BatchNorm(use_running_average=not train, name="norm")(nn.Dense(8, name="hidden")(clips))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="head")(x.mean(axis=(1, 2, 3)))


def test_batch_norm_stays_in_evaluation_mode_while_dropout_is_on() -> None:
    model = Noisy()
    variables, clips = drawn(model), clips_like(model, 2)
    watch = functools.partial(apply_watching_norms, model)
    plain, noisy, unwatched = jax.jit(
        lambda variables, clips: (
            watch(variables, clips),
            watch(variables, clips, dropout_key=KEY),
            model.apply(variables, clips),
        )
    )(variables, clips)
    np.testing.assert_array_equal(plain.logits, unwatched)
    np.testing.assert_array_equal(plain.outputs["norm"], noisy.outputs["norm"])
    assert np.any(plain.logits != noisy.logits)


def shapes_of(name: str, **options: Any) -> tuple[VideoModel, Any]:
    model = motion_vit.create_model(name, num_classes=3, **options)
    return model, jax.eval_shape(model.init, KEY, jnp.zeros((1, *model.clip_shape)))


@pytest.mark.fast_cases("videomae_tiny-*")
@pytest.mark.parametrize(
    ("name", "options", "first", "last"),
    [
        (
            "uniformer_tiny",
            {"depths": (1, 1, 1, 1), "remat": "blocks", "input_adapter": "motion_prompt"},
            "backbone/stage3/block0/norm1",
            "backbone/norm",
        ),
        ("videomae_tiny", {"scan_blocks": True, "remat": "matmuls"}, "blocks/block1/norm1", "fc_norm"),
    ],
)
def test_a_step_is_traced_through_models_as_they_are(name: str, options: dict[str, Any], first: str, last: str) -> None:
    model, variables = shapes_of(name, frames=8, image_size=64, **options)
    layers = norm_layers(model, variables)
    chosen = aligned_layers(layers)
    assert chosen[0] == first
    assert chosen[-1] == last
    source = {layer: LayerStatistics(*[np.zeros(layers[layer][-1], np.float32)] * 2) for layer in chosen}
    adaptation = make_adaptation_step(model, variables, AdaptationOptions(), source)
    clip = jax.ShapeDtypeStruct((2, *model.clip_shape), jnp.float32)
    _, video = jax.eval_shape(adaptation.step, jax.eval_shape(adaptation.start, variables), clip, clip, KEY)
    assert video.logits.shape == (2, 3)


def test_aligned_layers_are_those_that_a_pattern_names() -> None:
    layers = {"stage1/norm": (1, 4, 8), "stage2/norm": (1, 4, 8), "norm": (1, 8)}
    assert aligned_layers(layers) == ("stage2/norm",)  # the last one has a single vector a clip
    assert aligned_layers(layers, "stage1/.*") == ("stage1/norm",)
    with pytest.raises(UserError, match=r"'stage1' matches no normalisation layer.* such as stage1/norm"):
        aligned_layers(layers, "stage1")
    with pytest.raises(UserError, match=r"'\(' is not a regular expression"):
        aligned_layers(layers, "(")
    with pytest.raises(UserError, match="no normalisation layer of the model has outputs at several places"):
        aligned_layers({"norm": (1, 8)})


def test_what_a_model_or_statistics_lack_is_told() -> None:
    model = LayerNormed()
    variables = drawn(model)
    with pytest.raises(UserError, match=r'no BatchNorm.* Choose "vitta" or "tent"'):
        make_adaptation_step(model, variables, AdaptationOptions(method="norm"))
    with pytest.raises(UserError, match="needs statistics of the data that the model was trained on"):
        make_adaptation_step(model, variables, AdaptationOptions())
    with pytest.raises(UserError, match="the source statistics lack the layer n2"):
        make_adaptation_step(model, variables, AdaptationOptions(), {})
    small = SmallNetwork()
    with pytest.raises(UserError, match="no normalisation layer of the model has outputs at several places"):
        make_adaptation_step(
            small, jax.eval_shape(small.init, KEY, jnp.zeros((1, *small.clip_shape))), AdaptationOptions()
        )


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("method", "vita", "method is 'vita', but must be one of vitta, tent, norm"),
        ("views", 0, "views is 0, but must be a whole number from 1 to 100"),
        ("alpha", 0.0, "alpha is 0.0, but must be None, or a number above 0 and at most 1"),
        ("momentum", 1.0, "momentum is 1.0"),
        ("start", "middle", "start is 'middle', but must be one of zero, source"),
    ],
)
def test_options_out_of_their_ranges_are_refused(option: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"adaptation: {message}"):
        AdaptationOptions(**{option: value})


def test_a_new_start_with_every_video_takes_its_statistics_alone() -> None:
    assert AdaptationOptions(reset=True, alpha=0.3).settled(batch_norm=True).alpha == 1
    assert AdaptationOptions().settled(batch_norm=True).alpha == 0.1
    assert AdaptationOptions().settled(batch_norm=False).learning_rate == 1e-5
