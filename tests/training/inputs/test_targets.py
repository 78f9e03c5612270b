import jax.numpy as jnp
import numpy as np

from motion_vit.training.inputs.targets import smoothed_targets


def test_smoothing_spreads_its_share_over_all_classes() -> None:
    targets = smoothed_targets(jnp.array([2, 0]), 4, 0.2)
    np.testing.assert_allclose(targets, [[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]], rtol=1e-6)
