import dataclasses
import functools
import math
import re
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import Mesh

from motion_vit import UserError
from motion_vit.models.checked_model import trace_model
from motion_vit.models.video_model import Backbone
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.training.inputs.clip_augmentation import ClipAugmentation
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.losses.cross_entropy import cross_entropy
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.step.sharding import state_sharding
from motion_vit.training.step.state import TrainState, initial_state
from motion_vit.training.step.train_step import (
    Metrics,
    StepSettings,
    TrainStep,
    make_logits_function,
    make_train_step,
)

NORMALIZATION = Normalization((0.45, 0.4, 0.5), (0.2, 0.25, 0.3))
# Plain gradient descent: its updates are the gradient itself.
SETTINGS = StepSettings(
    optax.sgd(0.1), optax.schedules.constant_schedule(0.1), NORMALIZATION, cross_entropy(()), label_smoothing=0.1
)
ALL_AUGMENTATION = ClipAugmentation(erasing_probability=0.5, mixup_alpha=0.8, cutmix_alpha=1.0)
SHAPE = (4, 32, 32, 3)
DIMENSIONS = re.compile(r"\[([\d,]+)\]")


class FrameMeans(Backbone):
    """A classifier of the mean colours of a clip, for which a step compiles fast."""

    num_classes: int = 5
    batch_norm_groups: int = 1

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        colours = BatchNorm(groups=self.batch_norm_groups, name="norm")(clips.mean(axis=(1, 2, 3)), train=train)
        return nn.Dense(self.num_classes, name="head")(jnp.tanh(nn.Dense(8, name="hidden")(colours)))


class Regularised(FrameMeans):
    """The same with a loss of its own for each clip, its mean colour, and a number to report."""

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        strength = self.param("strength", nn.initializers.constant(2.0), ())
        if not self.is_initializing():
            self.sow("losses", "colour", strength * clips.mean(axis=(1, 2, 3, 4)))
            self.sow("summaries", "strength", strength)
        return super().__call__(clips, train=train)


def one_device() -> Mesh:
    return meshes.data_mesh(jax.devices()[:1])


def make_batch(clips: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "clip": rng.integers(0, 256, (clips, *SHAPE), dtype=np.uint8),
        "label": rng.integers(0, 5, clips, dtype=np.int32),
        # The two halves have different weights.
        "weight": np.array([1, 1, 0, 0] + [1] * (clips - 4), np.float32),
    }


@functools.cache
def variables_of(model: Backbone) -> dict[str, Any]:
    return jax.device_get(jax.jit(trace_model(model, clip_shape=SHAPE).init)(jax.random.key(3)))


def make_state(settings: StepSettings = SETTINGS, model: Backbone | None = None) -> TrainState:
    """The state before the first step; on the host, but for its key, so that a step can be given copies."""
    variables = variables_of(model or FrameMeans())
    state = initial_state(variables, settings.optimizer, jax.random.key(1), averaged=bool(settings.ema_decays))
    return copied(state)


def copied(state: TrainState) -> TrainState:
    """A copy on the host, which a step may be given."""
    arrays = jax.tree.map(np.array, dataclasses.replace(state, key=()))
    return dataclasses.replace(arrays, key=jax.random.clone(state.key))


def make_step(
    settings: StepSettings, mesh: Mesh, batch_norm_groups: int = 1, model: Backbone | None = None
) -> TrainStep:
    model = model or FrameMeans(batch_norm_groups=batch_norm_groups)
    sharding = state_sharding(make_state(settings, model), settings.optimizer, (), mesh)
    return make_train_step(model, settings, sharding, mesh)


@functools.cache
def plain_step(accumulation: int, groups: int) -> TrainStep:
    """A step on one device, compiled once for all tests."""
    return make_step(dataclasses.replace(SETTINGS, accumulation=accumulation), one_device(), groups)


def run(
    *,
    accumulation: int = 1,
    groups: int = 1,
    steps: int = 1,
    batch: dict[str, np.ndarray] | None = None,
    **changes: Any,
) -> tuple[list[TrainState], list[Metrics]]:
    """The states, from the initial one on, and the metrics of some steps on one device with the same batch."""
    settings = dataclasses.replace(SETTINGS, accumulation=accumulation, **changes)
    step = make_step(settings, one_device(), groups) if changes else plain_step(accumulation, groups)
    states, metrics = [make_state(settings)], []
    for _ in range(steps):
        inputs = meshes.to_devices(make_batch() if batch is None else batch, one_device(), accumulation)
        state, found = step(copied(states[-1]), inputs)
        states.append(copied(state))
        metrics.append(jax.device_get(found))
    return states, metrics


def leaves_of(tree: Any) -> dict[str, np.ndarray]:
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def test_a_step_learns_and_reports() -> None:
    states, metrics = run(steps=4)
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert int(states[-1].step) == 4
    assert metrics[0]["weight"] == 6
    assert metrics[0]["learning_rate"] == pytest.approx(0.1)
    before, after = leaves_of(states[0].batch_stats), leaves_of(states[-1].batch_stats)
    assert all(np.any(before[name] != after[name]) for name in before)


def seen_once() -> nn.Module:
    """The classifier, which refuses to be traced a second time."""
    trace = chex.assert_max_traces(lambda clips: clips, n=1)

    class SeenOnce(FrameMeans):
        @nn.compact
        def __call__(self, clips: jax.Array, *, train: bool) -> jax.Array:
            return super().__call__(trace(clips), train=train)

    return SeenOnce()


def test_the_step_is_traced_once_for_all_batches() -> None:
    mesh = one_device()
    sharding = state_sharding(make_state(), SETTINGS.optimizer, (), mesh)
    step, state = make_train_step(seen_once(), SETTINGS, sharding, mesh), jax.device_put(make_state(), sharding)
    for _ in range(3):
        state, _ = step(state, meshes.to_devices(make_batch(), mesh))
    assert int(state.step) == 3


def test_logits_are_traced_once_for_all_batches() -> None:
    mesh = one_device()
    logits = make_logits_function(seen_once(), NORMALIZATION, mesh)
    variables = jax.device_put(make_state().variables, meshes.replicated(mesh))
    first, second = (logits(variables, meshes.to_devices(make_batch(), mesh)["clip"]) for _ in range(2))
    chex.assert_shape(first, (8, 5))
    chex.assert_trees_all_equal(first, second)


@functools.cache
def averaging_step() -> tuple[TrainStep, StepSettings]:
    """A step that keeps averages, and its settings."""
    settings = dataclasses.replace(SETTINGS, ema_decays=jax.tree.map(lambda _: 0.9, make_state().params))
    return make_step(settings, one_device()), settings


def test_a_step_gives_up_the_memory_of_its_state() -> None:
    step, settings = averaging_step()
    state = jax.device_put(make_state(settings), meshes.replicated(one_device()))
    step(state, meshes.to_devices(make_batch(), one_device()))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((state.params, state.batch_stats, state.ema)))


def test_a_loss_that_is_not_finite_leaves_the_state_as_it_was() -> None:
    step, settings = averaging_step()
    state = make_state(settings)
    state.params["head"]["bias"] = np.full(5, np.inf, np.float32)
    before = leaves_of((state.step, state.params, state.batch_stats, state.opt_state, state.ema))
    after, metrics = step(state, meshes.to_devices(make_batch(), one_device()))
    assert not np.isfinite(metrics["loss"])
    kept = leaves_of((after.step, after.params, after.batch_stats, after.opt_state, after.ema))
    for name, values in before.items():
        np.testing.assert_array_equal(kept[name], values)


def test_what_a_model_stores_as_losses_and_summaries_is_added_and_reported() -> None:
    batch, model = make_batch(), Regularised()
    colours = (batch["clip"].mean(axis=(1, 2, 3)) / 255 - NORMALIZATION.mean) / NORMALIZATION.std
    added = float(np.average(colours.mean(axis=1), weights=batch["weight"]))
    _, (plain,) = run()
    for accumulation in (1, 2):
        step = make_step(dataclasses.replace(SETTINGS, accumulation=accumulation), one_device(), model=model)
        state = make_state(model=model)
        after, metrics = step(state, meshes.to_devices(batch, one_device(), accumulation))
        assert metrics["strength"] == pytest.approx(2.0)
        # Its gradient is the mean of what it multiplies, over the clips that count, and the learning rate 0.1.
        assert after.params["strength"] == pytest.approx(2.0 - 0.1 * added, rel=1e-5)
        if accumulation == 1:
            assert metrics["loss"] == pytest.approx(plain["loss"] + 2.0 * added, rel=1e-4)


class TestAccumulation:
    def test_equals_one_batch_with_as_many_groups_of_batch_norm(self) -> None:
        parts, found = run(accumulation=2, steps=3)
        whole, expected = run(groups=2, steps=3)
        for one, other in zip(found, expected, strict=True):
            for name in other:
                np.testing.assert_allclose(one[name], other[name], rtol=1e-5, err_msg=name)
        ours, theirs = (leaves_of((states[-1].params, states[-1].batch_stats)) for states in (parts, whole))
        for name in theirs:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-7, err_msg=name)

    def test_differs_from_one_batch_with_the_statistics_of_all_its_clips(self) -> None:
        _, (found,) = run(accumulation=2)
        _, (expected,) = run()
        # A hundred times the tolerance of the comparison above: it would see wrong statistics.
        assert abs(found["loss"] / expected["loss"] - 1) > 1e-3

    def test_a_part_without_a_clip_that_counts_adds_nothing(self) -> None:
        batch = make_batch()
        batch["weight"][:4] = 0
        _, (found,) = run(accumulation=2, batch=batch)
        _, (expected,) = run(batch={name: values[4:] for name, values in batch.items()})
        for name in ("loss", "top1", "grad_norm", "weight"):
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=name)


def test_frozen_parameters_stay_and_their_gradient_is_not_computed() -> None:
    frozen = {
        "norm": {"scale": False, "bias": False},
        "hidden": {"kernel": True, "bias": True},
        "head": {"kernel": False, "bias": False},
    }
    (before, after), (metrics,) = run(frozen=frozen)
    same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), before.params, after.params)
    assert same == frozen
    # With plain gradient descent the way that the trained parameters went is the gradient, and all of it.
    squares = jax.tree.map(lambda a, b: np.sum(np.square(a - b)), before.params, after.params)
    moved = np.sqrt(sum(jax.tree.leaves(squares))) / 0.1
    np.testing.assert_allclose(metrics["grad_norm"], moved, rtol=1e-4)
    batch = meshes.to_devices(make_batch(), one_device())
    products = [
        str(jax.make_jaxpr(make_step(settings, one_device()))(make_state(), batch)).count("dot_general")
        for settings in (SETTINGS, dataclasses.replace(SETTINGS, frozen=frozen))
    ]
    # Two of the forward pass, and of the backward pass those for both kernels and their inputs; one kernel is frozen.
    assert products == [6, 5]


def test_averages_follow_by_the_decay_of_each_parameter() -> None:
    decays = jax.tree.map(lambda _: 0.0, make_state().params)
    decays["head"]["kernel"] = 0.75
    states, _ = run(ema_decays=decays, steps=3)
    average = states[0].params["head"]["kernel"]
    for state in states[1:]:
        average = 0.75 * average + 0.25 * state.params["head"]["kernel"]
    averaged = states[-1].averaged_variables["params"]
    np.testing.assert_allclose(averaged["head"]["kernel"], average, rtol=1e-5)
    np.testing.assert_array_equal(averaged["hidden"]["kernel"], states[-1].params["hidden"]["kernel"])
    with pytest.raises(UserError, match="keeps no averages"):
        _ = make_state().averaged_variables


def test_a_model_that_cannot_split_frames_is_refused_where_they_are_split() -> None:
    with pytest.raises(UserError, match=r"FrameMeans cannot split frames.*mesh.frames to 1"):
        make_step(SETTINGS, meshes.make_mesh(data=4, frames=2))


@functools.cache
def mixing_step() -> TrainStep:
    """A step on eight devices with all augmentation."""
    return make_step(dataclasses.replace(SETTINGS, augmentation=ALL_AUGMENTATION), meshes.data_mesh())


def state_that_predicts(label: int) -> TrainState:
    """A state of which the logits name one label, whatever the clip."""
    state = make_state()
    state.params["head"]["bias"] = 100 * np.eye(5, dtype=np.float32)[label]
    return state


def mixable_batch() -> dict[str, jax.Array]:
    """Two clips for each of eight devices, of the labels 0 and 1."""
    batch = make_batch(16)
    batch["label"], batch["weight"] = np.tile([0, 1], 8).astype(np.int32), np.ones(16, np.float32)
    return meshes.to_devices(batch, meshes.data_mesh())


def test_a_step_that_mixes_and_erases_sends_no_clip_between_devices() -> None:
    program = mixing_step().lower(state_that_predicts(0), mixable_batch()).compile().as_text()
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
    _, metrics = mixing_step()(state_that_predicts(predicted), mixable_batch())
    assert float(metrics["top1"]) == top1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_clips_with_logits_that_are_not_finite_are_never_right(value: float) -> None:
    state = make_state()
    state.params["head"]["bias"] = np.array([value, 0, 0, 0, 0], np.float32)
    _, metrics = mixing_step()(state, mixable_batch())
    assert float(metrics["top1"]) == 0


def test_the_random_draws_of_a_step_depend_on_the_key_and_on_the_step() -> None:
    losses = []
    for number, key in ((0, 0), (0, 0), (1, 0), (0, 1)):
        state = dataclasses.replace(make_state(), step=np.int32(number), key=jax.random.key(key))
        after, metrics = mixing_step()(state, mixable_batch())
        np.testing.assert_array_equal(jax.random.key_data(after.key), jax.random.key_data(jax.random.key(key)))
        losses.append(float(metrics["loss"]))
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


def test_a_step_refuses_to_mix_single_clips() -> None:
    batch = meshes.to_devices(make_batch(), meshes.data_mesh())
    with pytest.raises(UserError, match=r"8 clips on 8 devices.*such as 16"):
        mixing_step()(state_that_predicts(0), batch)


def test_pixels_are_normalised_on_the_device() -> None:
    clips = np.array([0, 128, 255], np.uint8).reshape(1, 1, 1, 1, 3)
    found = np.asarray(jax.jit(NORMALIZATION)(clips)).ravel()
    np.testing.assert_allclose(found, [-0.45 / 0.2, (128 / 255 - 0.4) / 0.25, 0.5 / 0.3], rtol=1e-5)
