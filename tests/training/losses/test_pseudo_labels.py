import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.training.losses.pseudo_labels import (
    PseudoLabels,
    adaptive_weight,
    confident_labels,
    mixing_loss,
    pseudo_label_loss,
    weighed_labels,
)

GOLDEN = goldens.load("methods/semi_supervised")
PASSES, STUDENT, MIXED = (jnp.asarray(GOLDEN[name]) for name in ("teacher_logits", "student_logits", "mixed_logits"))
SHARE = jnp.full(6, jnp.float32(GOLDEN["mask_ratio"]))
PARTNER = GOLDEN["partner"]


def partners_of(labels: PseudoLabels) -> PseudoLabels:
    return PseudoLabels(*(values[PARTNER] for values in labels))


def assert_loss(name: str, loss: jax.Array, gradient: jax.Array, of: str) -> None:
    goldens.assert_matches(GOLDEN, name, np.asarray(loss), rtol=1e-5, atol=1e-6)
    goldens.assert_gradient_matches(GOLDEN, of, np.asarray(gradient))


@pytest.mark.parametrize("source", ["svformer/delta0.3", "svformer/delta0.8", "sefar"])
def test_agrees_with_the_authors_code(source: str) -> None:
    adaptive = source == "sefar"
    labels = weighed_labels(PASSES) if adaptive else confident_labels(PASSES[0], float(source.partition("delta")[2]))
    weights = np.asarray(labels.weights)
    goldens.assert_matches(GOLDEN, f"{source}/{'weight' if adaptive else 'mask'}", weights, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(labels.classes, GOLDEN[f"{source}/labels"])
    loss, gradient = jax.value_and_grad(lambda student: pseudo_label_loss(student, labels).mean())(STUDENT)
    assert_loss(f"{source}/loss_un", loss, gradient, f"{source}/grad_student")
    loss, gradient = jax.value_and_grad(lambda mixed: mixing_loss(mixed, labels, partners_of(labels), SHARE).mean())(
        MIXED
    )
    assert_loss(f"{source}/loss_mix", loss, gradient, f"{source}/grad_mixed")


def test_adaptive_weights_agree_with_the_authors_code() -> None:
    probability, deviation = jnp.asarray(GOLDEN["sefar/weight_grid_inputs"])
    found = np.asarray(adaptive_weight(probability, deviation))
    goldens.assert_matches(GOLDEN, "sefar/weight_grid", found, rtol=1e-5, atol=1e-6)
    assert adaptive_weight(jnp.array(1.0), jnp.array(0.0)) == 1.0


def test_clips_that_the_teacher_is_not_sure_of_teach_nothing_by_themselves() -> None:
    labels = confident_labels(PASSES[0], 0.9999)
    loss, gradient = jax.value_and_grad(lambda student: pseudo_label_loss(student, labels).sum())(STUDENT)
    assert loss == 0
    assert not gradient.any()
    np.testing.assert_allclose(labels.probabilities, jax.nn.softmax(PASSES[0]), rtol=1e-6)


def test_a_clip_that_is_its_own_partner_is_to_be_told_as_it_is() -> None:
    labels = weighed_labels(PASSES)
    loss = mixing_loss(labels.probabilities, labels, labels, jnp.full(6, 0.3))
    np.testing.assert_allclose(loss, 0.0, atol=1e-12)
    # With a share of 1 the partner is no matter.
    own, other = (mixing_loss(MIXED, labels, each, jnp.ones(6)) for each in (labels, partners_of(labels)))
    np.testing.assert_array_equal(own, other)


def test_probabilities_may_be_compared_in_the_place_of_logits() -> None:
    labels = confident_labels(PASSES[0], 0.3)
    found = mixing_loss(MIXED, labels, labels, SHARE, compared="probabilities")
    expected = mixing_loss(jax.nn.softmax(MIXED), labels, labels, SHARE)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
