import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motion_vit import UserError, create_model
from motion_vit.training import mesh as meshes
from motion_vit.training.config_validation import build_model
from motion_vit.training.normalization import Normalization
from motion_vit.training.step import TrainStep, logits_function, make_train_step
from motion_vit.training.train_state import TrainState, initial_state

NORMALIZATION = Normalization((0.45, 0.4, 0.5), (0.2, 0.25, 0.3))
# Plain gradient descent: Adam's first step is the sign of the gradient, which magnifies rounding.
OPTIMIZER = optax.sgd(0.1)


def make_batch(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "clip": rng.integers(0, 256, (8, 4, 32, 32, 3), dtype=np.uint8),
        "label": rng.integers(0, 5, 8, dtype=np.int32),
        "weight": np.array([1, 1, 1, 0, 1, 1, 1, 1], np.float32),
    }


@functools.cache
def compiled(options: tuple[tuple[str, object], ...], devices: int) -> tuple[nn.Module, TrainStep, Mesh]:
    """Model, step and devices, compiled once for all tests."""
    mesh = meshes.data_mesh(jax.devices()[:devices])
    model = create_model("uniformer_emim_tiny", num_classes=5, frames=4, image_size=32, **dict(options))
    schedule = optax.schedules.constant_schedule(0.1)
    return model, make_train_step(model, OPTIMIZER, schedule, NORMALIZATION, 0.1, mesh), mesh


def start(config: ConfigDict, devices: int) -> tuple[TrainStep, TrainState, Mesh]:
    model, step, mesh = compiled(tuple(config.model.options.to_dict().items()), devices)
    state = initial_state(model, OPTIMIZER, jax.random.key(3), (4, 32, 32, 3))
    return step, jax.device_put(state, meshes.replicated(mesh)), mesh


def test_a_step_on_eight_devices_equals_the_step_on_one(tiny_config: ConfigDict) -> None:
    outcomes = []
    for devices in (1, 8):
        step, state, mesh = start(tiny_config, devices)
        batch = meshes.to_devices(make_batch(), mesh)
        assert len(batch["clip"].sharding.device_set) == devices
        outcomes.append(jax.device_get(step(state, batch, jax.random.key(1))))
    (one, one_metrics), (eight, eight_metrics) = outcomes
    for name in one_metrics:
        np.testing.assert_allclose(eight_metrics[name], one_metrics[name], rtol=1e-5, err_msg=name)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-4, atol=2e-6), one, eight)


def test_a_step_learns_and_reports(tiny_config: ConfigDict) -> None:
    step, state, mesh = start(tiny_config, 1)
    before = jax.device_get(state)
    batch = meshes.to_devices(make_batch(), mesh)
    losses = []
    for _ in range(4):
        state, metrics = step(state, batch, jax.random.key(1))
        losses.append(float(metrics["loss"]))
    assert losses[-1] < losses[0]
    assert int(state.step) == 4
    assert float(metrics["weight"]) == 7
    assert float(metrics["learning_rate"]) == pytest.approx(0.1)
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), before.batch_stats, jax.device_get(state.batch_stats))
    assert all(jax.tree.leaves(changed))


def test_a_loss_that_is_not_finite_leaves_the_state_as_it_was(tiny_config: ConfigDict) -> None:
    step, state, mesh = start(tiny_config, 1)
    broken = jax.tree.map(lambda leaf: leaf, state.params)
    broken["head"]["bias"] = jnp.full_like(broken["head"]["bias"], jnp.inf)
    state = TrainState(state.step, broken, state.batch_stats, state.opt_state)
    before = jax.device_get(state)
    after, metrics = step(state, meshes.to_devices(make_batch(), mesh), jax.random.key(1))
    assert not np.isfinite(metrics["loss"])
    jax.tree.map(np.testing.assert_array_equal, before, jax.device_get(after))


def test_random_draws_depend_on_the_step(tiny_config: ConfigDict) -> None:
    losses = []
    for number in (0, 0, 5):
        step, state, mesh = start(tiny_config, 1)
        state = TrainState(state.step + number, state.params, state.batch_stats, state.opt_state)
        _, metrics = step(state, meshes.to_devices(make_batch(), mesh), jax.random.key(1))
        losses.append(float(metrics["loss"]))
    assert losses[0] == losses[1] != losses[2]


def test_pixels_are_normalised_on_the_device() -> None:
    clips = np.array([0, 128, 255], np.uint8).reshape(1, 1, 1, 1, 3)
    np.testing.assert_allclose(
        NORMALIZATION(jnp.asarray(clips)).ravel(), [-0.45 / 0.2, (128 / 255 - 0.4) / 0.25, 0.5 / 0.3], rtol=1e-5
    )


def test_the_evaluation_of_a_model_is_compiled_once(tiny_config: ConfigDict) -> None:
    mesh = meshes.data_mesh(jax.devices()[:1])
    functions = [logits_function(build_model(tiny_config, 5), NORMALIZATION, mesh) for _ in range(2)]
    assert functions[0] is functions[1]


def test_a_batch_that_the_devices_do_not_divide_is_refused() -> None:
    with pytest.raises(UserError, match=r"batch_size is 12.*8 devices.*such as 16"):
        meshes.check_divides(12, meshes.data_mesh(), "batch_size")
