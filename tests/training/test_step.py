import functools
import math
import re

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
from motion_vit.training.clip_augmentation import ClipAugmentation
from motion_vit.training.config_validation import build_model
from motion_vit.training.normalization import Normalization
from motion_vit.training.step import TrainStep, logits_function, make_train_step
from motion_vit.training.train_state import TrainState, initial_state

NORMALIZATION = Normalization((0.45, 0.4, 0.5), (0.2, 0.25, 0.3))
# Plain gradient descent: Adam's first step is the sign of the gradient, which magnifies rounding.
OPTIMIZER = optax.sgd(0.1)
DIMENSIONS = re.compile(r"\[([\d,]+)\]")


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


class FrameMeans(nn.Module):
    """A linear classifier of the mean colours of a clip, for which a step compiles fast."""

    num_classes: int = 5

    @nn.compact
    def __call__(self, clips: jax.Array, *, train: bool) -> jax.Array:
        return nn.Dense(self.num_classes)(clips.mean(axis=(1, 2, 3)))


@functools.cache
def mixing_step() -> TrainStep:
    """A step on eight devices with all augmentation."""
    schedule = optax.schedules.constant_schedule(0.1)
    augmentation = ClipAugmentation(erasing_probability=0.5, mixup_alpha=0.8, cutmix_alpha=1.0)
    return make_train_step(FrameMeans(), OPTIMIZER, schedule, NORMALIZATION, 0.1, meshes.data_mesh(), augmentation)


def state_that_predicts(label: int) -> TrainState:
    """A state of which the logits name one label, whatever the clip."""
    state = initial_state(FrameMeans(), OPTIMIZER, jax.random.key(3), (4, 32, 32, 3))
    params = {"Dense_0": {**state.params["Dense_0"], "bias": 100 * jnp.eye(5)[label]}}
    state = TrainState(state.step, params, state.batch_stats, state.opt_state)
    return jax.device_put(state, meshes.replicated(meshes.data_mesh()))


def mixable_batch() -> dict[str, jax.Array]:
    """Two clips for each of eight devices, of the labels 0 and 1."""
    batch = {name: np.concatenate([values, values]) for name, values in make_batch().items()}
    batch["label"], batch["weight"] = np.tile([0, 1], 8).astype(np.int32), np.ones(16, np.float32)
    return meshes.to_devices({**batch, "index": np.arange(16, dtype=np.int32)}, meshes.data_mesh())


def test_a_step_that_mixes_and_erases_sends_no_clip_between_devices() -> None:
    step, state = mixing_step(), state_that_predicts(0)
    program = step.lower(state, mixable_batch(), jax.random.key(0)).compile().as_text()
    assert "[2,4,32,32,3]" in program
    assert not re.search(r"all-gather|all-to-all|collective-permute", program)
    # The loss and the gradients are summed over the devices, nothing of the size of a frame.
    reduced = re.findall(r"= (.*?) all-reduce(?:-start)?\(", program)
    sizes = [
        math.prod(int(side) for side in shape.split(",")) for line in reduced for shape in DIMENSIONS.findall(line)
    ]
    assert reduced
    assert max(sizes, default=1) < 32 * 32


@pytest.mark.parametrize(("predicted", "top1"), [(0, 0.5), (1, 0.5), (2, 0.0)])
def test_the_accuracy_of_mixed_clips_counts_the_label_with_the_larger_share(predicted: int, top1: float) -> None:
    # Clips of label 0 are mixed with clips of label 1, by one share: whichever label has the larger one in half of the
    # targets has the smaller one in the others.
    _, metrics = mixing_step()(state_that_predicts(predicted), mixable_batch(), jax.random.key(0))
    assert float(metrics["top1"]) == top1


def test_the_augmentation_of_a_step_depends_on_the_key_and_on_the_step() -> None:
    losses = []
    for number, key in ((0, 0), (0, 0), (1, 0), (0, 1)):
        state = state_that_predicts(0)
        state = TrainState(state.step + number, state.params, state.batch_stats, state.opt_state)
        losses.append(float(mixing_step()(state, mixable_batch(), jax.random.key(key))[1]["loss"]))
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


def test_a_step_refuses_to_mix_single_clips() -> None:
    with pytest.raises(UserError, match=r"8 clips on 8 devices.*such as 16"):
        mixing_step()(state_that_predicts(0), meshes.to_devices(make_batch(), meshes.data_mesh()), jax.random.key(0))


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
