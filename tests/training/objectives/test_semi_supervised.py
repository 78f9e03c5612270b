"""Semi-supervised steps: what they minimise, on any devices, and what counts for nothing."""

import dataclasses
import functools
from typing import Any

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
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.losses.cross_entropy import cross_entropy
from motion_vit.training.losses.pseudo_labels import confident_labels, pseudo_label_loss
from motion_vit.training.objectives.dropout_passes import dropout_passes
from motion_vit.training.objectives.semi_supervised import SemiSupervision, sine_ramp
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.step.sharding import state_sharding
from motion_vit.training.step.state import TrainState, initial_state
from motion_vit.training.step.train_step import StepSettings, TrainStep, make_train_step

SHAPE = (2, 16, 16, 3)
NORMALIZATION = Normalization((0.45, 0.4, 0.5), (0.2, 0.25, 0.3))


class Pixels(Backbone):
    """A classifier of pixels."""

    num_classes: int = 5
    frames: int = 2
    image_size: int = 16
    normalise: bool = False
    dropout: float = 0.0

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        pixels = nn.avg_pool(clips.mean(axis=1), (4, 4), (4, 4)).reshape(len(clips), -1)
        hidden = nn.Dense(16, name="hidden")(pixels)
        if self.normalise:
            hidden = BatchNorm(name="norm")(hidden, train=train)
        hidden = nn.Dropout(self.dropout)(nn.relu(hidden), deterministic=not train)
        return nn.Dense(self.num_classes, name="head")(hidden)


def a_quarter(step: jax.Array) -> float:
    return 0.25


def supervision(**changes: Any) -> SemiSupervision:
    values = {
        **{"method": "fixmatch", "threshold": 0.5, "passes": 4, "weight": 2.0, "mix_weight": 0.5, "mix_alpha": 10.0},
        **{"mix_patch": 4, "mix_compared": "logits", "labels_known": True, "ramp": a_quarter, "groups": 8},
    }
    return SemiSupervision(**{**values, **changes})


def one_device() -> Mesh:
    return meshes.data_mesh(jax.devices()[:1])


@functools.cache
def make_batch() -> dict[str, np.ndarray]:
    """Sixteen labelled clips of coloured squares and twice as many others, of which the fourth cannot be decoded."""
    rng = np.random.default_rng(0)
    clips = {
        name: rng.integers(0, 256, (count, 2, 4, 4, 3), dtype=np.uint8).repeat(4, 2).repeat(4, 3)
        for name, count in (("clip", 16), ("unlabelled_weak", 32), ("unlabelled_strong", 32))
    }
    return clips | {
        "label": rng.integers(0, 5, 16, dtype=np.int32),
        "weight": np.array([0] + [1] * 15, np.float32),
        "unlabelled_label": rng.integers(0, 5, 32, dtype=np.int32),
        "unlabelled_weight": np.array([1, 1, 1, 0] + [1] * 28, np.float32),
    }


@functools.cache
def variables_of(model: nn.Module) -> list[Any]:
    """Two draws of the variables, on the host."""
    init = jax.jit(trace_model(model, clip_shape=SHAPE).init)
    return [jax.device_get(init(jax.random.key(seed))) for seed in (3, 4)]


def a_state(model: nn.Module) -> TrainState:
    """A state whose averages are not its parameters."""
    variables, averages = jax.tree.map(np.copy, variables_of(model))
    state = initial_state(variables, optax.sgd(1.0), jax.random.key(1))
    return dataclasses.replace(state, ema=averages["params"])


def a_step(
    semi: SemiSupervision | None,
    mesh: Mesh | None = None,
    model: nn.Module | None = None,
    batch: dict[str, np.ndarray] | None = None,
) -> tuple[TrainState, dict[str, float]]:
    """The state and the metrics after a step of plain gradient descent with rate 1."""
    mesh, model, batch = mesh or one_device(), model or Pixels(), batch or make_batch()
    entries = [name for name in batch if semi or not name.startswith("unlabelled")]
    inputs = meshes.to_devices({name: batch[name] for name in entries}, mesh)
    after, metrics = step_of(semi, mesh, model)(a_state(model), inputs)
    return after, jax.device_get(metrics)


@functools.cache
def step_of(semi: SemiSupervision | None, mesh: Mesh, model: nn.Module) -> TrainStep:
    """The step, compiled once for all batches."""
    state = a_state(model)
    decays = jax.tree.map(lambda _: 1.0, state.params)
    settings = StepSettings(
        optax.sgd(1.0), lambda _: 1.0, NORMALIZATION, cross_entropy(()), semi_supervision=semi, ema_decays=decays
    )
    return make_train_step(model, settings, state_sharding(state, settings.optimizer, (), mesh), mesh)


@functools.cache
def of_both() -> tuple[TrainState, dict[str, float]]:
    return a_step(supervision())


@functools.cache
def of_labelled_clips() -> tuple[TrainState, dict[str, float]]:
    return a_step(None)


def assert_close(ours: Any, theirs: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), ours, theirs)


@pytest.mark.slow
def test_the_losses_of_unlabelled_clips_are_added_with_their_weights() -> None:
    _, metrics = of_both()
    _, labelled = of_labelled_clips()
    expected = labelled["loss"] + 0.25 * (2.0 * metrics["unlabelled_loss"] + 0.5 * metrics["mixing_loss"])
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)
    assert metrics["top1"] == labelled["top1"]
    batch, state = make_batch(), a_state(Pixels())
    weak, strong = (NORMALIZATION(jnp.asarray(batch[f"unlabelled_{name}"])) for name in ("weak", "strong"))
    labels = confident_labels(Pixels().apply({"params": state.ema}, weak), 0.5)
    losses = pseudo_label_loss(Pixels().apply({"params": state.params}, strong), labels)
    weights = batch["unlabelled_weight"]
    assert metrics["unlabelled_loss"] == pytest.approx(np.average(losses, weights=weights), rel=1e-4)
    share = np.average(labels.weights, weights=weights)
    assert 0 < share < 1
    assert metrics["pseudo_label_weight"] == pytest.approx(share)
    sure = (np.asarray(labels.weights) * weights) > 0
    right = np.mean((np.asarray(labels.classes) == batch["unlabelled_label"])[sure])
    assert metrics["pseudo_label_top1"] == pytest.approx(right)


@pytest.mark.slow
def test_eight_devices_learn_what_one_learns() -> None:
    model = Pixels(normalise=True)
    one, expected = a_step(supervision(), model=model)
    many, found = a_step(supervision(), meshes.make_mesh(data=4, fsdp=2), model)
    assert_close(found, expected)
    assert_close((many.params, many.batch_stats), (one.params, one.batch_stats))


def test_labels_that_nobody_is_sure_of_teach_nothing() -> None:
    unsure, metrics = a_step(supervision(threshold=1.0, mix_weight=0.0))
    labelled, _ = of_labelled_clips()
    assert metrics["unlabelled_loss"] == metrics["pseudo_label_weight"] == 0
    assert "mixing_loss" not in metrics
    assert_close(unsure.params, labelled.params)


def test_clips_that_cannot_be_decoded_count_nothing() -> None:
    batch = {name: values.copy() for name, values in make_batch().items()}
    for name in ("unlabelled_weak", "unlabelled_strong", "unlabelled_label"):
        batch[name][3] = 0
    (one, expected), (other, found) = of_both(), a_step(supervision(), batch=batch)
    assert found == expected
    jax.tree.map(np.testing.assert_array_equal, other.params, one.params)


def test_the_teacher_stays_as_it_is_and_batch_norm_sees_all_clips() -> None:
    model = Pixels(normalise=True)
    after, _ = a_step(supervision(), model=model)
    jax.tree.map(np.testing.assert_array_equal, after.ema, a_state(model).ema)
    alone, _ = a_step(None, model=model)
    moved = [np.abs(np.asarray(state.batch_stats["norm"]["mean"])) for state in (after, alone)]
    assert (moved[0] > 1.2 * moved[1]).any()  # by the batch of both, and by the mixed one


def test_weights_rise_by_a_sine_after_the_warm_up() -> None:
    ramp = jax.jit(jax.vmap(sine_ramp(5, 30, 2)))
    found = ramp(2 * np.array([0, 4, 5, 17, 29], np.int32) + 1)
    np.testing.assert_allclose(found, [0, 0, np.sin(np.pi / 50), np.sin(np.pi / 2 * 13 / 25), 1], rtol=1e-5)


def test_passes_differ_by_dropout_alone() -> None:
    model = Pixels(normalise=True, dropout=0.5)
    variables, _ = jax.tree.map(np.copy, variables_of(model))
    variables["batch_stats"]["norm"]["mean"] += 0.5

    @jax.jit
    def passes(variables: Any, clips: jax.Array) -> tuple[jax.Array, jax.Array]:
        inputs = NORMALIZATION(clips)
        apply = functools.partial(model.apply, variables, inputs)
        return dropout_passes(lambda key: apply(rngs={"dropout": key}), jax.random.key(0), 400), apply()

    found, expected = jax.device_get(passes(variables, make_batch()["clip"][:4]))
    assert (found.std(axis=0) > 0).all(axis=-1).any()
    # Behind dropout there is but a linear layer: in the mean, its logits are those without.
    tolerance = 5 * float(found.std()) / 20
    np.testing.assert_allclose(found.mean(axis=0), expected, atol=tolerance)


def test_adaptive_weights_need_dropout() -> None:
    _, metrics = a_step(supervision(method="adaptive", mix_weight=0.0), model=Pixels(dropout=0.5))
    assert 0 < metrics["pseudo_label_weight"] < 1
    with pytest.raises(UserError, match=r"compares 4 passes with dropout, but the model drops nothing"):
        a_step(supervision(method="adaptive"))
