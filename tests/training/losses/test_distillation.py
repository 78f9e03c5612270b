import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.training.losses.cross_entropy import cross_entropy
from motion_vit.training.losses.distillation import Distillation

GOLDEN = goldens.load("methods/distillation")
STUDENT, TEACHERS = jnp.asarray(GOLDEN["student"]), jnp.asarray(GOLDEN["teachers"])
TARGETS = jax.nn.one_hot(GOLDEN["labels"], 5)


@pytest.mark.parametrize(("temperature", "sharpness"), [(1.0, 1.0), (4.0, 10.0)])
def test_agrees_with_the_authors_code(temperature: float, sharpness: float) -> None:
    name = f"T{temperature}/W{sharpness}"
    distillation = Distillation(temperature, weighting="per_clip", sharpness=sharpness)
    taught = distillation.taught_logits(TEACHERS, TARGETS)
    goldens.assert_matches(GOLDEN, f"{name}/teacher_logits", np.asarray(taught), rtol=1e-5, atol=1e-6)

    def total(student: jax.Array) -> jax.Array:
        return jnp.mean(distillation(student, taught) + cross_entropy(())(student, TARGETS))

    loss, gradient = jax.value_and_grad(total)(STUDENT)
    found = np.asarray(jnp.mean(distillation(STUDENT, taught)))
    goldens.assert_matches(GOLDEN, f"{name}/distillation", found, rtol=1e-5, atol=1e-6)
    goldens.assert_matches(GOLDEN, f"{name}/total", np.asarray(loss), rtol=1e-5, atol=1e-6)
    goldens.assert_gradient_matches(GOLDEN, f"{name}/grad", np.asarray(gradient))


def test_teachers_that_are_weighed_alike_give_their_mean() -> None:
    np.testing.assert_allclose(Distillation().taught_logits(TEACHERS, TARGETS), TEACHERS.mean(axis=1), rtol=1e-6)
    blunt = Distillation(weighting="per_clip", sharpness=1e6)
    np.testing.assert_allclose(blunt.taught_logits(TEACHERS, TARGETS), TEACHERS.mean(axis=1), rtol=1e-4, atol=1e-5)


def test_a_student_that_agrees_with_its_teachers_has_nothing_to_learn() -> None:
    distillation, taught = Distillation(2.0), TEACHERS[:, 0]
    # Softmax does not see what is added to all logits.
    loss, gradient = jax.value_and_grad(lambda student: distillation(student, taught).sum())(taught + 3.0)
    np.testing.assert_allclose(loss, 0.0, atol=1e-5)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


def test_a_high_temperature_compares_centred_logits() -> None:
    # Section 2.1 of Hinton et al.: half of the mean square of the differences, for logits with a mean of zero.
    difference = STUDENT - TEACHERS[:, 1]
    difference -= difference.mean(axis=-1, keepdims=True)
    found = Distillation(100.0)(STUDENT, TEACHERS[:, 1])
    np.testing.assert_allclose(found, 0.5 * jnp.mean(difference**2, axis=-1), rtol=0.03, atol=1e-3)
