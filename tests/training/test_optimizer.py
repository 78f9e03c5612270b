import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from ml_collections import ConfigDict

from motion_vit.training.config_validation import build_model
from motion_vit.training.optimizer import decay_mask, learning_rate_schedule, make_optimizer


def test_the_learning_rate_rises_linearly_and_falls_by_a_cosine(tiny_config: ConfigDict) -> None:
    settings = tiny_config.optimizer
    settings.learning_rate, settings.warmup_start, settings.final_learning_rate = 1.0, 0.2, 0.1
    settings.warmup_epochs = 2
    schedule = learning_rate_schedule(tiny_config, steps=60, steps_per_epoch=10)
    rates = np.array([schedule(step) for step in range(61)])
    np.testing.assert_allclose(rates[:21], 0.2 + 0.8 * np.arange(21) / 20, rtol=1e-6)
    np.testing.assert_allclose(rates[40], (1.0 + 0.1) / 2, rtol=1e-6)
    np.testing.assert_allclose(rates[60], 0.1, rtol=1e-6)
    assert (np.diff(rates[20:]) < 0).all()


def test_a_run_of_one_step_takes_the_full_learning_rate(tiny_config: ConfigDict) -> None:
    schedule = learning_rate_schedule(tiny_config, steps=1, steps_per_epoch=3)
    assert float(schedule(0)) == pytest.approx(tiny_config.optimizer.learning_rate)


def test_biases_and_one_dimensional_parameters_are_not_decayed_but_the_position_bias_is(
    tiny_config: ConfigDict,
) -> None:
    model = build_model(tiny_config, 10)
    params = jax.eval_shape(lambda key: model.init(key, jnp.zeros((1, 4, 32, 32, 3))), jax.random.key(0))["params"]
    mask = traverse_util.flatten_dict(decay_mask(tiny_config, params), sep="/")
    kinds = {name.rsplit("/", 1)[-1] for name in mask}
    assert {"kernel", "bias", "scale", "rpb"} <= kinds
    for name, decayed in mask.items():
        assert decayed == name.endswith(("/kernel", "/rpb")), name


def test_a_rule_of_the_recipe_comes_before_the_number_of_dimensions(tiny_config: ConfigDict) -> None:
    tiny_config.optimizer.decay_mask = (("head/.*", False), (".*bias", True))
    params = {"head": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}, "stem": {"bias": jnp.ones(2)}}
    assert decay_mask(tiny_config, params) == {"head": {"kernel": False, "bias": False}, "stem": {"bias": True}}


def test_only_what_the_mask_names_shrinks_without_a_gradient(tiny_config: ConfigDict) -> None:
    tiny_config.optimizer.weight_decay = 0.5
    optimizer = make_optimizer(tiny_config, optax.schedules.constant_schedule(0.1))
    params = {"kernel": jnp.ones((2, 2)), "scale": jnp.ones(2)}
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.05, rtol=1e-6)
    np.testing.assert_array_equal(updates["scale"], 0)


@pytest.mark.parametrize(("clip_norm", "expected"), [(1.0, 1.0), (100.0, 5.0), (0.0, 5.0)])
def test_the_gradient_is_clipped_by_its_norm_over_all_parameters(
    tiny_config: ConfigDict, clip_norm: float, expected: float
) -> None:
    tiny_config.optimizer.clip_norm = clip_norm
    optimizer = make_optimizer(tiny_config, optax.schedules.constant_schedule(0.1))
    params = {"a": jnp.ones(1), "b": jnp.ones(1)}
    _, state = optimizer.update({"a": jnp.array([3.0]), "b": jnp.array([4.0])}, optimizer.init(params), params)
    # Adam's first moment after one step is (1 - beta1) times the gradient that it saw.
    seen = optax.tree.norm(optax.tree.get(state, "mu")) / (1 - tiny_config.optimizer.betas[0])
    assert float(seen) == pytest.approx(expected, rel=1e-5)
