import goldens
import jax
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
PASSES, STUDENT, MIXED = (GOLDEN[name] for name in ("teacher_logits", "student_logits", "mixed_logits"))
SHARE = np.full(6, GOLDEN["mask_ratio"], np.float32)
PARTNER = GOLDEN["partner"]


def partners_of(labels: PseudoLabels) -> PseudoLabels:
    return PseudoLabels(*(values[PARTNER] for values in labels))


def assert_loss(name: str, loss: jax.Array, gradient: jax.Array, of: str) -> None:
    goldens.assert_matches(GOLDEN, name, np.asarray(loss), rtol=1e-5, atol=1e-6)
    goldens.assert_gradient_matches(GOLDEN, of, np.asarray(gradient))


@pytest.mark.parametrize("source", ["svformer/delta0.3", "svformer/delta0.8", "sefar"])
def test_agrees_with_the_authors_code(source: str) -> None:
    adaptive = source == "sefar"

    @jax.jit
    def of(
        passes: jax.Array, student: jax.Array, mixed: jax.Array, share: jax.Array
    ) -> tuple[PseudoLabels, tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        threshold = float(source.partition("delta")[2] or 0)
        labels = weighed_labels(passes) if adaptive else confident_labels(passes[0], threshold)
        partners = partners_of(labels)
        alone = jax.value_and_grad(lambda student: pseudo_label_loss(student, labels).mean())
        together = jax.value_and_grad(lambda mixed: mixing_loss(mixed, labels, partners, share).mean())
        return labels, alone(student), together(mixed)

    labels, alone, together = of(PASSES, STUDENT, MIXED, SHARE)
    weights = np.asarray(labels.weights)
    goldens.assert_matches(GOLDEN, f"{source}/{'weight' if adaptive else 'mask'}", weights, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(labels.classes, GOLDEN[f"{source}/labels"])
    assert_loss(f"{source}/loss_un", *alone, f"{source}/grad_student")
    assert_loss(f"{source}/loss_mix", *together, f"{source}/grad_mixed")


def test_adaptive_weights_agree_with_the_authors_code() -> None:
    probability, deviation = GOLDEN["sefar/weight_grid_inputs"]
    certain = np.float32(1), np.float32(0)
    found, of_certain = jax.jit(lambda *inputs: [adaptive_weight(*each) for each in inputs])(
        (probability, deviation), certain
    )
    goldens.assert_matches(GOLDEN, "sefar/weight_grid", np.asarray(found), rtol=1e-5, atol=1e-6)
    assert of_certain == 1.0


def test_clips_that_the_teacher_is_not_sure_of_teach_nothing_by_themselves() -> None:
    @jax.jit
    def of(logits: jax.Array, student: jax.Array) -> tuple[jax.Array, ...]:
        labels = confident_labels(logits, 0.9999)
        loss, gradient = jax.value_and_grad(lambda student: pseudo_label_loss(student, labels).sum())(student)
        return loss, gradient, labels.probabilities, jax.nn.softmax(logits)

    loss, gradient, probabilities, expected = of(PASSES[0], STUDENT)
    assert loss == 0
    assert not np.asarray(gradient).any()
    np.testing.assert_allclose(probabilities, expected, rtol=1e-6)


def test_a_clip_that_is_its_own_partner_is_to_be_told_as_it_is() -> None:
    labels, loss_of = jax.jit(weighed_labels)(PASSES), jax.jit(mixing_loss)
    loss = loss_of(labels.probabilities, labels, labels, np.full(6, 0.3, np.float32))
    np.testing.assert_allclose(loss, 0.0, atol=1e-12)
    # With a share of 1 the partner is no matter.
    own, other = (
        loss_of(MIXED, labels, each, np.ones(6, np.float32)) for each in (labels, partners_of(jax.device_get(labels)))
    )
    np.testing.assert_array_equal(own, other)


def test_probabilities_may_be_compared_in_the_place_of_logits() -> None:
    @jax.jit
    def of(logits: jax.Array, mixed: jax.Array, share: jax.Array) -> tuple[jax.Array, jax.Array]:
        labels = confident_labels(logits, 0.3)
        found = mixing_loss(mixed, labels, labels, share, compared="probabilities")
        return found, mixing_loss(jax.nn.softmax(mixed), labels, labels, share)

    found, expected = of(PASSES[0], MIXED, SHARE)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
