"""What a model said of videos: classes, probabilities, calibration, and how far accuracies may be off."""

import numpy as np
import pytest
from planted_evaluation import planted_evaluation, planted_scores

from motion_vit.training.evaluation.calibration import reliability
from motion_vit.training.evaluation.failures import worst_failures
from motion_vit.training.evaluation.intervals import accuracy_interval

NAN = float("nan")


def test_probabilities_are_the_softmax_of_the_logits_of_any_size() -> None:
    scored = planted_scores([0, 1], [[np.log(3), 0], [2000, 2000]], ("a", "b"))
    np.testing.assert_allclose(scored.probabilities, [[0.75, 0.25], [0.5, 0.5]])
    np.testing.assert_allclose(scored.confidence, [0.75, 0.5])
    np.testing.assert_allclose(scored.label_log_probabilities, np.log([0.75, 0.5]))


def test_a_video_without_finite_logits_is_wrong_and_left_out_of_loss_and_calibration() -> None:
    result = planted_evaluation([0, 1], [[np.log(3), 0], [NAN, 0]], ("a", "b"))
    assert (result.top1, result.mean_class) == (0.5, 0.5)
    assert result.loss == pytest.approx(-np.log(0.75))
    assert result.reliability.error == pytest.approx(0.25)
    assert result.not_finite == ("1.mp4",)
    assert planted_evaluation([1], [[NAN, 0]], ("a", "b")).to_dict()["loss"] is None


def test_rare_classes_count_as_much_as_frequent_ones_in_the_mean_of_classes() -> None:
    result = planted_evaluation([0, 0, 0, 1], [[1, 0, 0]] * 4)
    assert result.top1 == 0.75
    assert result.mean_class == 0.5


@pytest.mark.parametrize(("classes", "reported"), [(5, False), (6, True)])
def test_top_5_is_left_out_where_it_says_nothing(classes: int, reported: bool) -> None:
    result = planted_evaluation([0], [list(range(classes))], [str(number) for number in range(classes)])
    assert ("top5" in result.to_dict()) == reported
    assert ("top5" in result.summary()) == reported


def test_the_calibration_error_is_the_mean_gap_between_confidence_and_accuracy() -> None:
    # Ten videos of confidence 0.9, of which six are right; ten of 0.55, of which five are.
    confidence = np.repeat([0.9, 0.55], 10)
    right = np.array([*[True] * 6, *[False] * 4, *[True] * 5, *[False] * 5])
    found = reliability(confidence, right)
    assert found.error == pytest.approx((0.3 + 0.05) / 2)
    assert found.counts.sum() == 20
    np.testing.assert_allclose(found.accuracy[found.counts > 0], [0.5, 0.6])


def test_a_model_that_is_as_sure_as_it_is_right_has_no_calibration_error() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 200_000)
    right = rng.uniform(size=len(confidence)) < confidence
    assert reliability(confidence, right).error < 0.005


def test_confidences_of_zero_one_and_nan_have_their_places() -> None:
    found = reliability(np.array([0.0, 1.0, 0.2, NAN]), np.array([False, True, False, False]), bins=5)
    assert found.counts.tolist() == [2, 0, 0, 0, 1]


def test_the_interval_of_an_accuracy_holds_the_true_one_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    drawn = rng.binomial(400, 0.7, 300)
    intervals = np.array([accuracy_interval(np.array([right]), np.array([400])) for right in drawn])
    share = np.mean((intervals[:, 0] <= 0.7) & (intervals[:, 1] >= 0.7))
    assert 0.9 <= share <= 0.99


def test_the_interval_narrows_with_the_videos_and_leaves_empty_classes_out() -> None:
    few, many = (accuracy_interval(np.array([right]), np.array([total])) for right, total in ((6, 10), (600, 1000)))
    assert few[1] - few[0] > 5 * (many[1] - many[0])
    np.testing.assert_array_equal(accuracy_interval(np.array([3, 0]), np.array([4, 0]))[1], 1)
    assert np.isnan(accuracy_interval(np.array([0]), np.array([0]))).all()


def test_few_videos_get_a_note_of_what_one_of_them_moves() -> None:
    assert (
        planted_evaluation([0] * 6, [[1, 0, 0]] * 6)
        .interval_note()
        .startswith("6 videos say little: one more right or wrong moves top-1 by 16.7 percentage points.")
    )
    assert planted_evaluation([0] * 30, [[1, 0, 0]] * 29 + [[0, 1, 0]]).interval_note() == ""


@pytest.mark.parametrize(("logits", "share"), [([1, 0, 0], "right 92.6 %"), ([0, 1, 0], "right 7.4 %")])
def test_videos_that_are_all_right_or_all_wrong_get_a_note_of_what_their_interval_hides(
    logits: list[float], share: str
) -> None:
    # Of 39 videos of a model that is right with a probability of 0.926, all are in 1 of 20 sets: 0.926 ** 39 = 0.05.
    assert share in planted_evaluation([0] * 39, [logits] * 39).interval_note()


def test_the_worst_failures_are_the_most_confident_mistakes() -> None:
    scored = planted_scores([0, 0, 0, 0, 1], [[0, 2, 0], [9, 0, 0], [0, 8, 0], [NAN, 0, 0], [1, 0, 0]], ("a", "b", "c"))
    assert worst_failures(scored).tolist() == [2, 0, 4]
    assert worst_failures(scored, 1).tolist() == [2]
