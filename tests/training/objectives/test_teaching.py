"""Teachers in a step: what their students get, on any devices."""

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
from motion_vit.training.inputs.clip_augmentation import ClipAugmentation
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.losses.cross_entropy import cross_entropy
from motion_vit.training.losses.distillation import Distillation
from motion_vit.training.objectives.teaching import Teacher, Teaching, check_teachers
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.step.sharding import parameter_sharding, state_sharding
from motion_vit.training.step.state import TrainState, initial_state
from motion_vit.training.step.train_step import StepSettings, make_train_step

SHAPE = (2, 16, 16, 3)
OURS = Normalization((0.45, 0.4, 0.5), (0.2, 0.25, 0.3))
THEIRS = Normalization((0.5, 0.5, 0.3), (0.5, 0.1, 0.2), "bgr")
ORDER = (3, 1, 4, 0, 2)


class Student(Backbone):
    """A classifier of mean colours."""

    num_classes: int = 5
    frames: int = 2
    image_size: int = 16

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        return nn.Dense(self.num_classes, name="head")(clips.mean(axis=(1, 2, 3)))


class Pixels(Student):
    """Another network: a classifier of pixels, with a layer that is large enough to be split."""

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        hidden = nn.Dense(64, name="hidden")(clips.reshape(len(clips), -1))
        return nn.Dense(self.num_classes, name="head")(nn.relu(hidden))


@functools.cache
def variables_of(model: Student, seed: int) -> dict[str, Any]:
    """Variables on the host, where no step can take their memory."""
    return jax.device_get(jax.jit(trace_model(model, clip_shape=SHAPE).init)(jax.random.key(seed)))


def make_teacher(mesh: Mesh, seed: int = 0, normalization: Normalization = THEIRS) -> Teacher:
    variables = variables_of(Pixels(), seed)
    sharding = {"params": parameter_sharding(variables["params"], ((r".*", "fsdp"),), mesh), "batch_stats": {}}
    return Teacher("a", Pixels(), jax.device_put(variables, sharding), normalization, ORDER)


def make_batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "clip": rng.integers(0, 256, (16, *SHAPE), dtype=np.uint8),
        "label": rng.integers(0, 5, 16, dtype=np.int32),
        "weight": np.array([0] + [1] * 15, np.float32),
    }


def a_step(mesh: Mesh, accumulation: int = 1, **settings: Any) -> tuple[TrainState, dict[str, float], Teaching]:
    """The state and the metrics after a step of plain gradient descent, with rate 1, with two teachers."""
    teachers = [make_teacher(mesh, seed) for seed in (0, 1)]
    teaching = Teaching(Distillation(2.0, 0.5, "per_clip"), teachers, OURS)
    optimizer = optax.sgd(1.0)
    values = {"accumulation": accumulation, "teaching": teaching, **settings}
    step_settings = StepSettings(optimizer, lambda _: 1.0, OURS, cross_entropy(()), **values)
    variables = jax.tree.map(np.copy, variables_of(Student(), 3))
    state = initial_state(variables, optimizer, jax.random.key(1))
    step = make_train_step(Student(), step_settings, state_sharding(state, optimizer, (), mesh), mesh)
    batch = meshes.to_devices(make_batch(), mesh, accumulation)
    after, metrics = step(state, batch, *([teaching.variables] if values["teaching"] else []))
    return after, jax.device_get(metrics), teaching


@functools.cache
def on_one_device() -> tuple[TrainState, dict[str, float], Teaching]:
    return a_step(meshes.data_mesh(jax.devices()[:1]))


def test_a_teacher_sees_the_pixels_by_its_own_normalisation_and_names_our_classes() -> None:
    mesh = meshes.data_mesh(jax.devices()[:1])
    teacher = make_teacher(mesh)

    @jax.jit
    def of(variables: Any, clips: jax.Array) -> tuple[jax.Array, ...]:
        ours, theirs = OURS(clips), THEIRS(clips)
        assert OURS.converted(ours, OURS) is ours
        found, _ = teacher.logits(variables, ours, OURS)
        mixed = OURS.converted(0.3 * ours + 0.7 * ours[::-1], THEIRS)
        return found, Pixels().apply(variables, theirs), mixed, 0.3 * theirs + 0.7 * theirs[::-1]

    found, expected, mixed, mixed_alike = of(teacher.variables, make_batch()["clip"])
    np.testing.assert_allclose(found, np.asarray(expected)[:, ORDER], rtol=1e-4, atol=1e-4)
    # A mixture of our inputs is the same mixture of theirs.
    np.testing.assert_allclose(mixed, mixed_alike, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_loss_of_teachers_is_added_with_its_weight() -> None:
    _, metrics, teaching = on_one_device()
    _, alone, _ = a_step(meshes.data_mesh(jax.devices()[:1]), teaching=None)
    assert metrics["loss"] == pytest.approx(alone["loss"] + 0.5 * metrics["distillation"], rel=1e-5)
    batch = make_batch()
    clips, targets = OURS(jnp.asarray(batch["clip"])), jax.nn.one_hot(batch["label"], 5)
    student = Student().apply(variables_of(Student(), 3), clips)
    losses = teaching.loss(student, teaching.taught(teaching.variables, clips, targets).logits)
    assert metrics["distillation"] == pytest.approx(np.average(losses, weights=batch["weight"]), rel=1e-4)


@pytest.mark.fast_cases("sizes1")
@pytest.mark.parametrize("sizes", [{"data": 8}, {"data": 2, "fsdp": 4}])
def test_students_on_eight_devices_learn_what_one_learns(sizes: dict[str, int]) -> None:
    one, expected, _ = on_one_device()
    many, found, teaching = a_step(meshes.make_mesh(**sizes))
    assert found["distillation"] == pytest.approx(expected["distillation"], rel=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), many.params, one.params)
    split = teaching.variables[0]["params"]["hidden"]["kernel"]
    assert split.is_fully_replicated == ("fsdp" not in sizes)


def test_a_batch_in_parts_learns_the_same() -> None:
    mesh = meshes.data_mesh(jax.devices()[:1])
    whole, _, _ = on_one_device()
    parts, _, _ = a_step(mesh, accumulation=2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), parts.params, whole.params)


@pytest.mark.slow
def test_teachers_look_at_mixed_clips() -> None:
    _, plain, _ = on_one_device()
    _, mixed, _ = a_step(meshes.data_mesh(jax.devices()[:1]), augmentation=ClipAugmentation(mixup_alpha=1.0))
    assert mixed["distillation"] != pytest.approx(plain["distillation"], rel=1e-3)


def test_a_teacher_for_other_clips_is_refused() -> None:
    teacher = make_teacher(meshes.data_mesh(jax.devices()[:1]))
    other = dataclasses.replace(teacher, model=Pixels(frames=8, image_size=24))
    check_teachers([teacher], Student())
    with pytest.raises(UserError, match=r"takes clips of 8 frames of 24 x 24 pixels, and this run's are of 2 frames"):
        check_teachers([teacher, other], Student())
