import numpy as np

from motion_vit.training.probing.nearest_neighbors import neighbor_votes


def accuracy(features: np.ndarray, labels: np.ndarray, classes: int) -> float:
    half = len(labels) // 2
    votes = neighbor_votes(features[:half], labels[:half], features[half:], classes=classes)
    return float(np.mean(votes.argmax(axis=1) == labels[half:]))


def test_features_that_are_the_class_are_told_apart_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 2000)
    assert accuracy(np.eye(5, dtype=np.float32)[labels], labels, 5) == 1
    noise = rng.standard_normal((2000, 16)).astype(np.float32)
    assert abs(accuracy(noise, labels, 5) - 0.2) < 0.06


def test_votes_are_weighed_by_the_cosine_whatever_the_lengths() -> None:
    known = np.array([[10.0, 0.0], [0.0, 0.1], [-1.0, 0.0]], np.float32)
    query = np.array([[0.3, 0.4]], np.float32)  # cosines 0.6, 0.8 and -0.6
    votes = neighbor_votes(known, np.array([0, 1, 0]), query, classes=2, neighbors=2, temperature=0.5)
    expected = np.exp(np.array([[0.6, 0.8]]) / 0.5)
    np.testing.assert_allclose(votes, expected / expected.sum(), rtol=1e-6)
    # With more neighbours than there are, all vote.
    votes = neighbor_votes(known, np.array([0, 1, 0]), query, classes=2, neighbors=9, temperature=0.5)
    expected[0, 0] += np.exp(-0.6 / 0.5)
    np.testing.assert_allclose(votes, expected / expected.sum(), rtol=1e-6)


def test_a_tiny_temperature_leaves_the_decision_to_the_nearest() -> None:
    known = np.array([[1.0, 0.0], [1.0, 0.5], [1.0, 0.6]], np.float32)
    votes = neighbor_votes(
        known, np.array([0, 1, 1]), np.array([[1.0, 0.1], [0.0, 0.0]], np.float32), classes=2, temperature=1e-4
    )
    np.testing.assert_allclose(votes[0], [1, 0], atol=1e-9)
    np.testing.assert_allclose(votes[1], [1 / 3, 2 / 3])  # no direction: all are equally near
