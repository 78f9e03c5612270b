"""The share of every pixel in what a clip adds to a logit."""

import numpy as np
import planted_answers as planted
import pytest

import motion_vit
from motion_vit.visualization.clip_versions import version_logits
from motion_vit.visualization.integrated_gradients import completeness_gap, integrated_gradients


@pytest.mark.fast_cases("timesformer-*")
@pytest.mark.parametrize(("family", "options"), [("uniformer", {}), ("timesformer", {"depth": 1})])
def test_shares_add_up_to_the_difference_of_the_logits(small_model, family, options):
    model, variables, noise = small_model(family, **options)
    # Noise of the full strength leads the random network along a path of many bends.
    clips = 0.1 * noise
    logits, nothing = version_logits(model, variables, [clips[0], np.zeros_like(clips[0])])
    for first, second in ((2, None), (3, 1)):
        shares = np.asarray(integrated_gradients(model, variables, clips[:1], first, minus=second))
        assert shares.shape == (1, *clips.shape[1:4])
        expected = (logits - nothing)[first] - (0 if second is None else (logits - nothing)[second])
        assert shares.sum() == pytest.approx(expected, rel=0.01, abs=0.011)
        (gap,) = completeness_gap(model, variables, clips[:1], shares, first, minus=second)
        assert gap == pytest.approx(shares.sum() - expected, abs=1e-3)


def test_shares_of_separate_pixels_are_their_own_differences():
    model = planted.Curved()
    rng = np.random.default_rng(0)
    clips, baseline = rng.normal(size=(2, 2, 3, 4, 5, 3)).astype(np.float32)
    shares = integrated_gradients(model, {}, clips, 0, baseline=baseline, steps=20)
    weights = np.sin(np.arange(clips[0].size, dtype=np.float32)).reshape(clips.shape[1:])
    expected = ((np.tanh(clips) - np.tanh(baseline)) * weights).sum(axis=-1)
    np.testing.assert_allclose(shares, expected, atol=1e-4)


def test_what_the_model_does_not_look_at_has_no_share():
    model = planted.BoxBrightness(((1, 3), (2, 5), (0, 4)))
    clips = np.random.default_rng(0).normal(size=(1, 4, 8, 8, 3)).astype(np.float32)
    shares = np.asarray(integrated_gradients(model, {}, clips, 1, steps=2))
    seen = np.zeros(clips.shape[:4], bool)
    seen[:, 1:3, 2:5, 0:4] = True
    assert (shares[~seen] == 0).all()
    np.testing.assert_allclose(shares[seen].sum(), model.apply({}, clips)[0, 1], rtol=1e-5)
    assert (np.asarray(integrated_gradients(model, {}, clips, 0, steps=2)) == 0).all()


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"class_index": 3}, "the model has the classes 0 to 2; given 3"),
        ({"minus": 7}, "given 7"),
        ({"steps": 0}, "steps is 0, but must be a whole number from 1"),
        ({"steps": 1.5}, "steps is 1.5"),
        ({"baseline": np.zeros((1, 4, 8, 8, 1), np.float32)}, r"the baseline has the shape \(1, 4, 8, 8, 1\)"),
    ],
)
def test_mistakes_are_explained(asked, message):
    arguments = {"class_index": 1, **asked}
    with pytest.raises(motion_vit.UserError, match=message):
        integrated_gradients(
            planted.BoxBrightness(((0, 1), (0, 1), (0, 1))), {}, np.zeros((1, 4, 8, 8, 3), np.float32), **arguments
        )
