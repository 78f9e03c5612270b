import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import chex
import jax
import numpy as np
import optax
import pytest
from drawn_variables import drawn_variables
from flax import linen as nn
from flax import traverse_util
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motion_vit import UserError, create_model
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.losses.correspondence import ClipLoss, CorrespondenceLosses, correspondence_losses
from motion_vit.training.losses.cross_entropy import cross_entropy
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.checks import build_model
from motion_vit.training.recipe.config import default_config
from motion_vit.training.step.sharding import state_sharding
from motion_vit.training.step.state import TrainState, initial_state
from motion_vit.training.step.train_step import Metrics, StepSettings, make_train_step

BOTH = CorrespondenceLosses(photometric=2.0, walk=0.5)
SETTINGS = StepSettings(
    optax.sgd(0.1),
    optax.schedules.constant_schedule(0.1),
    Normalization((0.45,) * 3, (0.225,) * 3),
    cross_entropy(()),
    classification=0.0,
    correspondence=BOTH,
)
CLIPS, FRAMES, SIZE = 8, 4, 16
FROZEN_ENCODER = {"attention": "factorised_encoder", "frozen": "spatial"}
SMALLEST: dict[str, Any] = {"widths": (8, 8, 16, 16), "depths": (1, 1, 1, 1), "head_channels": 8}


@functools.cache
def small_model(**options: Any) -> nn.Module:
    """EMIM at stages 3 and 4, on maps of 8 x 8 and 4 x 4 patches."""
    sizes = SMALLEST | {"patch_sizes": (2, 1, 1, 2)}
    shared = {"num_classes": 5, "frames": FRAMES, "image_size": SIZE, "window": 3, **sizes}
    return create_model("uniformer_emim_tiny", depthwise_implementation="xla_conv", **{**shared, **options})


@functools.cache
def small_transformer(**options: Any) -> nn.Module:
    """Cost volumes in two equal blocks, on maps of 4 x 4 patches: it compiles in a fraction of the time."""
    shared = {"num_classes": 5, "frames": FRAMES, "image_size": SIZE, "window": 3, "width": 24, "patch_size": 4}
    return create_model("timesformer_tiny", **shared, temporal_attention="cost_volume", **options)


variables_of = functools.cache(drawn_variables)


def run(
    model: nn.Module | None = None,
    *,
    settings: StepSettings = SETTINGS,
    mesh: Mesh | None = None,
    steps: int = 1,
) -> tuple[list[TrainState], list[Metrics]]:
    """The states before and after some steps on the same clips, and their metrics."""
    model = small_model() if model is None else model
    mesh = meshes.data_mesh(jax.devices()[:1]) if mesh is None else mesh
    random = np.random.default_rng(0)
    # Noise that moves to the right by a pixel a frame.
    picture = random.integers(0, 256, (CLIPS, SIZE, SIZE, 3), dtype=np.uint8)
    batch = {
        "clip": np.stack([np.roll(picture, frame, axis=2) for frame in range(FRAMES)], axis=1),
        "label": random.integers(0, 5, CLIPS, dtype=np.int32),
        "weight": np.ones(CLIPS, np.float32),
    }
    # Which do not depend on how blocks are compiled.
    variables = variables_of(model.clone(remat="none", scan_blocks=False))
    state = initial_state(variables, settings.optimizer, jax.random.key(1), averaged=False)
    sharding = state_sharding(state, settings.optimizer, (), mesh)
    step = make_train_step(model, settings, sharding, mesh)
    states, metrics = [jax.device_get(state)], []
    state = jax.device_put(state, sharding)
    for _ in range(steps):
        state, found = step(state, meshes.to_devices(batch, mesh, settings.accumulation))
        states.append(jax.device_get(state))
        metrics.append(jax.device_get(found))
    return states, metrics


@functools.cache
def plain_run() -> tuple[list[TrainState], list[Metrics]]:
    return run(steps=3)


@pytest.mark.slow
def test_without_labels_the_loss_is_that_of_the_cost_volumes_and_falls() -> None:
    _, metrics = plain_run()
    for found in metrics:
        assert found["loss"] == pytest.approx(2.0 * found["photometric"] + 0.5 * found["walk"], rel=1e-5)
    assert metrics[-1]["loss"] < metrics[0]["loss"]


def run_of_one_block() -> tuple[list[TrainState], list[Metrics]]:
    return run(small_transformer(depth=1))


@pytest.mark.fast_cases("run_of_one_block-*")
@pytest.mark.parametrize(
    ("plain", "attention"),
    [
        (run_of_one_block, ("blocks", "block0", "temporal_attention")),
        (plain_run, ("stage4", "block0", "attention")),
    ],
)
def test_without_labels_neither_the_head_nor_the_position_bias_learns(
    plain: Callable[[], tuple[list[TrainState], list[Metrics]]], attention: tuple[str, ...]
) -> None:
    """The bias would be the way to learn one motion for all places. (At stage 3 it moves what stage 4 is made of.)"""
    (before, *_, after), _ = plain()
    bias, weights = (
        [functools.reduce(dict.__getitem__, (*attention, *names), state.params) for state in (before, after)]
        for names in (("rpb",), ("qkv", "kernel"))
    )
    np.testing.assert_array_equal(*bias)
    np.testing.assert_array_equal(before.params["head"]["kernel"], after.params["head"]["kernel"])
    assert np.abs(weights[0] - weights[1]).max() > 1e-4


@functools.cache
def plain_run_of_transformer() -> tuple[list[TrainState], list[Metrics]]:
    return run(small_transformer())


@pytest.mark.slow
def test_cross_entropy_is_added_by_its_weight() -> None:
    own = {"classification": 0.5, "correspondence": BOTH}
    _, (mixed,) = run(small_transformer(), settings=dataclasses.replace(SETTINGS, **own))
    without = dataclasses.replace(SETTINGS, classification=1.0, correspondence=None)
    _, (alone,) = run(small_transformer(), settings=without)
    assert mixed["loss"] == pytest.approx(0.5 * alone["loss"] + plain_run_of_transformer()[1][0]["loss"], rel=1e-4)
    assert not {"photometric", "walk"} & alone.keys()


@pytest.mark.slow
def test_it_is_the_same_where_clips_and_frames_are_split() -> None:
    """BatchNorm takes the statistics of all clips, and draws do not depend on where they are made."""
    assert_same(run(mesh=meshes.make_mesh(data=4, frames=2)), plain_run())


@pytest.mark.slow
def test_it_is_the_same_where_clips_and_parameters_are_split() -> None:
    assert_same(run(small_transformer(), mesh=meshes.make_mesh(data=4, fsdp=2)), plain_run_of_transformer())


def assert_same(run: tuple[list[TrainState], list[Metrics]], expected: tuple[list[TrainState], list[Metrics]]) -> None:
    """Compares the metrics of the first step, and the parameters after it."""
    (_, ours, *_), (found, *_) = run
    (_, theirs, *_), (wanted, *_) = expected
    for name in ("loss", "photometric", "walk", "grad_norm"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=2e-4, err_msg=name)
    chex.assert_trees_all_close(ours.params, theirs.params, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("execution", [{"remat": "blocks"}, {"scan_blocks": True}], ids=str)
def test_it_is_the_same_however_blocks_are_compiled(execution: dict[str, Any]) -> None:
    _, (found,) = run(small_transformer(**execution))
    _, (expected,) = plain_run_of_transformer()
    for name in ("loss", "photometric", "walk", "grad_norm"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, err_msg=name)


def random_clips(model: nn.Module) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((2, *model.clip_shape), np.float32)


@pytest.mark.fast_cases("small_transformer")
@pytest.mark.parametrize("make_model", [small_model, small_transformer])
def test_layers_count_by_their_mean_and_pairs_both_ways(make_model: Callable[..., nn.Module]) -> None:
    model = make_model(neighbours="both")
    losses = CorrespondenceLosses(photometric=3.0)

    def photometric(volumes: Any, clips: jax.Array) -> ClipLoss:
        return losses(model, volumes, clips, jax.random.key(2))["photometric"]

    @jax.jit
    def of_all_and_each(variables: dict[str, Any], clips: jax.Array) -> tuple[ClipLoss, list[jax.Array]]:
        _, found = model.apply(variables, clips, mutable=["cost_volumes"])
        volumes = traverse_util.flatten_dict(found["cost_volumes"])
        layers = (traverse_util.unflatten_dict({path: volume}) for path, volume in volumes.items())
        each = [photometric(layer, clips).plain for layer in layers]
        return photometric(found["cost_volumes"], clips), each

    whole, each = of_all_and_each(drawn_variables(model), random_clips(model))
    assert len(each) == 4
    np.testing.assert_allclose(whole.weighted, 3 * whole.plain, rtol=1e-6)
    np.testing.assert_allclose(whole.plain, np.mean(each, axis=0), rtol=1e-5)


@pytest.mark.fast_cases("vivit_tiny-*")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("uniformer_emim_tiny", {"patch_sizes": (4, 2, 1, 2)}),
        ("uniformer_emim_tiny", {"patch_sizes": (4, 2, 1, 2), "input_adapter": "motion_prompt"}),
        ("uniformer_emim_tiny", {"patch_sizes": (4, 2, 1, 2), "stem_temporal_stride": 2, "frame_offset": 2}),
        ("timesformer_tiny", {"temporal_attention": "cost_volume", "patch_size": 8}),
        ("vivit_tiny", FROZEN_ENCODER | {"adapter": "emim", "patch_size": 8}),
    ],
    ids=str,
)
def test_every_model_with_cost_volumes_has_the_losses(name: str, options: dict[str, Any]) -> None:
    config = recipe(name, options | (SMALLEST if name.startswith("uniformer") else {"depth": 1}))
    model = build_model(config, 5).model
    config.loss.correspondence.update({"photometric": 1.0, "walk": 1.0})
    losses = correspondence_losses(config, model)
    assert losses is not None

    @jax.jit
    def losses_of(variables: dict[str, Any], clips: jax.Array) -> dict[str, jax.Array]:
        _, found = model.apply(variables, clips, mutable=["cost_volumes"])
        of_clips = losses(model, found["cost_volumes"], clips, jax.random.key(2))
        return {name: loss.plain for name, loss in of_clips.items()}

    found = losses_of(drawn_variables(model), random_clips(model))
    assert {name: loss.shape for name, loss in found.items()} == {"photometric": (2,), "walk": (2,)}
    assert all(0 < value < math.inf for loss in found.values() for value in loss.tolist())


def recipe(name: str, options: dict[str, Any]) -> ConfigDict:
    config = default_config()
    config.model.name = name
    config.model.options.update(options)
    config.data.frames, config.data.size = 6, 32
    return config


def test_no_weight_no_losses() -> None:
    config = recipe("timesformer_tiny", {"temporal_attention": "cost_volume", "patch_size": 8, "depth": 1})
    assert correspondence_losses(config, build_model(config, 5).model) is None


@pytest.mark.parametrize(
    ("name", "options"),
    [("uniformer_tiny", {}), ("resnet18_tiny", {}), ("timesformer_tiny", {"patch_size": 8})],
)
@pytest.mark.parametrize("loss", ["photometric", "walk"])
def test_models_without_cost_volumes_are_refused(name: str, options: dict[str, Any], loss: str) -> None:
    config = recipe(name, options)
    config.loss.correspondence[loss] = 1.0
    with pytest.raises(UserError, match=rf"loss\.correspondence.*'{name}'.*has none.*uniformer_emim_s"):
        correspondence_losses(config, build_model(config, 5).model)


def test_cost_volumes_that_are_all_frozen_are_refused() -> None:
    config = recipe("vivit_tiny", FROZEN_ENCODER | {"placement": "lg"})
    config.loss.correspondence.walk = 1.0
    with pytest.raises(UserError, match="freezes all layers that have some, blocks: nothing would be learned"):
        correspondence_losses(config, build_model(config, 5).model)
    config.model.options.adapter = "emim"
    assert correspondence_losses(config, build_model(config, 5).model) is not None
