import numpy as np
import pytest

from motion_vit.training.evaluation.metrics import (
    NO_CLASS,
    confusion_matrix,
    per_class_accuracy,
    predicted_classes,
    top_k_accuracy,
)

LOGITS = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [1.0, 3.0, 2.0]])
LABELS = np.array([0, 0, 0, 2])


@pytest.mark.parametrize(("k", "expected"), [(1, 0.25), (2, 0.75), (3, 1.0), (5, 1.0)])
def test_top_k_counts_labels_among_the_largest_logits(k: int, expected: float) -> None:
    assert top_k_accuracy(LOGITS, LABELS, k) == expected


def test_constant_logits_are_not_right_on_every_label() -> None:
    assert top_k_accuracy(np.zeros((10, 10)), np.arange(10), 1) == 0.1
    assert top_k_accuracy(np.zeros((10, 10)), np.arange(10), 5) == 0.5


def test_no_examples_have_no_accuracy() -> None:
    assert np.isnan(top_k_accuracy(np.zeros((0, 3)), np.zeros(0, int), 1))


def test_rows_of_the_confusion_matrix_are_true_classes() -> None:
    confusion = confusion_matrix(LABELS, predicted_classes(LOGITS), 3)
    assert confusion.tolist() == [[1, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    np.testing.assert_allclose(per_class_accuracy(confusion), [1 / 3, np.nan, 0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, slice(None)])
def test_logits_that_are_not_finite_are_right_on_no_label(value: float, place: int | slice) -> None:
    logits = np.tile(np.arange(3, dtype=np.float32), (3, 1))
    logits[:, place] = value
    labels = np.arange(3)
    assert [top_k_accuracy(logits, labels, k) for k in (1, 2, 3, 5)] == [0, 0, 0, 0]
    assert predicted_classes(logits).tolist() == [NO_CLASS] * 3
    confusion = confusion_matrix(labels, predicted_classes(logits), 3)
    assert confusion.tolist() == [[0, 0, 0, 1]] * 3
    assert per_class_accuracy(confusion).tolist() == [0, 0, 0]


def test_an_example_with_nan_counts_among_the_others() -> None:
    logits = LOGITS.copy()
    logits[0, 2] = np.nan
    assert top_k_accuracy(LOGITS, LABELS, 2) == 0.75
    assert top_k_accuracy(logits, LABELS, 2) == 0.5
    confusion = confusion_matrix(LABELS, predicted_classes(logits), 3)
    np.testing.assert_allclose(per_class_accuracy(confusion), [0, np.nan, 0])
