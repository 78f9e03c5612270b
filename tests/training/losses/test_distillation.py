import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.training.losses.cross_entropy import cross_entropy
from motion_vit.training.losses.distillation import Distillation

GOLDEN = goldens.load("methods/distillation")
STUDENT, TEACHERS = GOLDEN["student"], GOLDEN["teachers"]
TARGETS = np.eye(5, dtype=np.float32)[GOLDEN["labels"]]


@pytest.mark.parametrize(("temperature", "sharpness"), [(1.0, 1.0), (4.0, 10.0)])
def test_agrees_with_the_authors_code(temperature: float, sharpness: float) -> None:
    name = f"T{temperature}/W{sharpness}"
    distillation = Distillation(temperature, weighting="per_clip", sharpness=sharpness)

    def total(
        student: jax.Array, teachers: jax.Array, targets: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        taught = distillation.taught_logits(teachers, targets)
        losses = distillation(student, taught)
        return jnp.mean(losses + cross_entropy(())(student, targets)), (taught, jnp.mean(losses))

    compiled = jax.jit(jax.value_and_grad(total, has_aux=True))
    (loss, (taught, found)), gradient = compiled(STUDENT, TEACHERS, TARGETS)
    goldens.assert_matches(GOLDEN, f"{name}/teacher_logits", np.asarray(taught), rtol=1e-5, atol=1e-6)
    goldens.assert_matches(GOLDEN, f"{name}/distillation", np.asarray(found), rtol=1e-5, atol=1e-6)
    goldens.assert_matches(GOLDEN, f"{name}/total", np.asarray(loss), rtol=1e-5, atol=1e-6)
    goldens.assert_gradient_matches(GOLDEN, f"{name}/grad", np.asarray(gradient))


def test_teachers_that_are_weighed_alike_give_their_mean() -> None:
    blunt = Distillation(weighting="per_clip", sharpness=1e6)
    alike, bluntly = (jax.jit(each.taught_logits)(TEACHERS, TARGETS) for each in (Distillation(), blunt))
    np.testing.assert_allclose(alike, TEACHERS.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(bluntly, TEACHERS.mean(axis=1), rtol=1e-4, atol=1e-5)


def test_a_student_that_agrees_with_its_teachers_has_nothing_to_learn() -> None:
    distillation, taught = Distillation(2.0), TEACHERS[:, 0]
    # Softmax does not see what is added to all logits.
    total = jax.value_and_grad(lambda student, taught: distillation(student, taught).sum())
    loss, gradient = jax.jit(total)(taught + 3.0, taught)
    np.testing.assert_allclose(loss, 0.0, atol=1e-5)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


def test_a_high_temperature_compares_centred_logits() -> None:
    # Section 2.1 of Hinton et al.: half of the mean square of the differences, for logits with a mean of zero.
    difference = STUDENT - TEACHERS[:, 1]
    difference -= difference.mean(axis=-1, keepdims=True)
    found = jax.jit(Distillation(100.0))(STUDENT, TEACHERS[:, 1])
    np.testing.assert_allclose(found, 0.5 * np.mean(difference**2, axis=-1), rtol=0.03, atol=1e-3)
