"""Measures of unknown videos: those of scikit-learn, and what each promises."""

import goldens
import numpy as np
import pytest

from motion_vit.training.evaluation.open_set_metrics import (
    auroc,
    average_precision,
    false_alarms_at_95,
    open_macro_f1,
    openness,
    rejection_threshold,
    weighted_by_openness,
)

GOLDEN = goldens.load("dear/open_set_metrics")
KNOWN, UNKNOWN = GOLDEN["ind_u"], GOLDEN["ood_u"]
CLASSES = 5


def test_separation_is_that_of_scikit_learn() -> None:
    assert auroc(KNOWN, UNKNOWN) == pytest.approx(float(GOLDEN["auroc"]), rel=1e-12)
    assert average_precision(KNOWN, UNKNOWN) == pytest.approx(float(GOLDEN["aupr"]), rel=1e-12)
    assert false_alarms_at_95(KNOWN, UNKNOWN) == pytest.approx(float(GOLDEN["fpr95"]), rel=1e-12)


def test_the_area_of_decisions_at_a_threshold_is_another_number() -> None:
    threshold = float(GOLDEN["threshold"])
    decided = [(scores > threshold).astype(float) for scores in (KNOWN, UNKNOWN)]
    assert auroc(*decided) == pytest.approx(float(GOLDEN["auc_of_decisions"]), rel=1e-12)
    assert auroc(*decided) < auroc(KNOWN, UNKNOWN) - 0.1


def test_the_macro_f1_over_openness_is_that_of_scikit_learn() -> None:
    threshold = float(GOLDEN["threshold"])
    (f1,) = open_macro_f1(
        GOLDEN["ind_label"],
        np.where(threshold < KNOWN, CLASSES, GOLDEN["ind_pred"]),
        GOLDEN["ood_label"],
        np.where(threshold < UNKNOWN, CLASSES, GOLDEN["ood_pred"]),
        known_classes=CLASSES,
        orders=np.arange(len(GOLDEN["openness"]) - 1)[None],
    )
    of = openness(CLASSES, np.arange(len(f1)))
    np.testing.assert_allclose(of, GOLDEN["openness"], rtol=1e-12)
    np.testing.assert_allclose(f1, GOLDEN["macro_f1"], rtol=1e-12)
    assert weighted_by_openness(f1, of) == pytest.approx(float(GOLDEN["open_maf1"]), rel=1e-12)


def test_scores_of_one_distribution_are_not_separated() -> None:
    known, unknown = np.random.default_rng(0).standard_normal((2, 20_000))
    assert auroc(known, unknown) == pytest.approx(0.5, abs=0.01)
    assert average_precision(known, unknown) == pytest.approx(0.5, abs=0.01)
    assert false_alarms_at_95(known, unknown) == pytest.approx(0.95, abs=0.01)


def test_ties_count_half_and_no_order_of_videos_matters() -> None:
    known, unknown = np.array([0.0, 1.0, 1.0]), np.array([1.0, 2.0])
    assert auroc(known, unknown) == pytest.approx((1 + 2 * 0.5 + 3) / 6)
    assert average_precision(known, unknown) == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    assert false_alarms_at_95(known, unknown) == pytest.approx(2 / 3)
    assert auroc(np.ones(4), np.ones(3)) == 0.5


@pytest.mark.parametrize("count", [1, 19, 20, 21, 100, 1000])
def test_at_most_5_percent_of_known_videos_exceed_the_threshold_and_no_smaller_score_will_do(count: int) -> None:
    scores = np.random.default_rng(count).permutation(count).astype(float)
    threshold = rejection_threshold(scores)
    assert np.sum(scores > threshold) <= 0.05 * count < np.sum(scores >= threshold)


def test_all_right_answers_score_1_and_unknown_classes_that_are_missed_cost() -> None:
    labels = np.array([0, 0, 1])
    orders = np.array([[0, 1], [1, 0]])
    perfect = open_macro_f1(labels, labels, np.array([0, 1]), np.array([2, 2]), known_classes=2, orders=orders)
    np.testing.assert_array_equal(perfect, 1)
    # The videos of unknown class 1 are taken for class 0, of which there are two.
    missed = open_macro_f1(labels, labels, np.array([0, 1, 1]), np.array([2, 0, 0]), known_classes=2, orders=orders)
    of_first, of_missed, of_both = (1 + 1 + 1) / 3, (4 / 6 + 1 + 0) / 3, (4 / 6 + 1 + 2 / 4) / 3
    np.testing.assert_allclose(missed, [[1, of_first, of_both], [1, of_missed, of_both]])
