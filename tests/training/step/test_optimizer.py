from typing import Any

import jax
import numpy as np
import optax
import pytest
from flax import traverse_util
from ml_collections import ConfigDict

from motion_vit import UserError
from motion_vit.training.recipe.checks import build_model
from motion_vit.training.step.optimizer import (
    decay_mask,
    learning_rate_factors,
    learning_rate_schedule,
    make_optimizer,
)
from motion_vit.training.step.regex_rules import matches

PARAMS = {
    name: {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)} for name in ("stem", "block", "head")
}


def update(config: ConfigDict, grads: dict[str, Any]) -> tuple[dict[str, Any], optax.OptState]:
    """The first update of `PARAMS` at a learning rate of 0.1, and the state after it."""
    optimizer = make_optimizer(config, optax.schedules.constant_schedule(0.1), PARAMS)
    first = jax.jit(lambda grads, params: optimizer.update(grads, optimizer.init(params), params))
    return jax.device_get(first(grads, PARAMS))


def rates_of(schedule: optax.Schedule, steps: int) -> np.ndarray:
    return np.asarray(jax.jit(jax.vmap(schedule))(np.arange(steps)))


def test_the_learning_rate_rises_linearly_and_falls_by_a_cosine(tiny_config: ConfigDict) -> None:
    settings = tiny_config.optimizer
    settings.learning_rate, settings.warmup_start, settings.final_learning_rate = 1.0, 0.2, 0.1
    settings.warmup_epochs = 2
    schedule = learning_rate_schedule(tiny_config, steps=60, steps_per_epoch=10)
    rates = rates_of(schedule, 61)
    np.testing.assert_allclose(rates[:21], 0.2 + 0.8 * np.arange(21) / 20, rtol=1e-6)
    np.testing.assert_allclose(rates[40], (1.0 + 0.1) / 2, rtol=1e-6)
    np.testing.assert_allclose(rates[60], 0.1, rtol=1e-6)
    assert (np.diff(rates[20:]) < 0).all()


def test_the_learning_rate_falls_by_a_factor_at_each_decay_epoch(tiny_config: ConfigDict) -> None:
    settings = tiny_config.optimizer
    settings.schedule, settings.decay_epochs, settings.decay_factor = "step", (2, 3.5), 0.1
    settings.learning_rate, settings.warmup_start = 1.0, 0.0
    rates = {}
    for warmup_epochs in (0, 1, 3):
        settings.warmup_epochs = warmup_epochs
        schedule = learning_rate_schedule(tiny_config, steps=40, steps_per_epoch=10)
        rates[warmup_epochs] = rates_of(schedule, 40)
    np.testing.assert_allclose(rates[0], [1.0] * 20 + [0.1] * 15 + [0.01] * 5, rtol=1e-6)
    np.testing.assert_allclose(rates[1][10:], rates[0][10:], rtol=1e-6)
    np.testing.assert_allclose(rates[3][30:], rates[0][30:], rtol=1e-6)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_and_its_steps_are_those_of_pytorch(tiny_config: ConfigDict, nesterov: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    settings = tiny_config.optimizer
    settings.name, settings.schedule, settings.decay_epochs, settings.decay_mask = "sgd", "step", (2,), ((".*", True),)
    settings.learning_rate, settings.warmup_epochs, settings.warmup_start = 0.1, 0.0, 0.0
    settings.momentum, settings.weight_decay, settings.clip_norm = 0.9, 0.05, 1.5
    settings.nesterov = nesterov
    optimizer = make_optimizer(tiny_config, learning_rate_schedule(tiny_config, steps=6, steps_per_epoch=2), PARAMS)
    params, state = PARAMS, jax.jit(optimizer.init)(PARAMS)

    @jax.jit
    def step(grads: Any, state: optax.OptState, params: Any) -> tuple[Any, optax.OptState]:
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    theirs = {name: torch.nn.Parameter(torch.ones(2, 2)) for name in PARAMS}
    reference = torch.optim.SGD(theirs.values(), lr=0.1, momentum=0.9, weight_decay=0.05, nesterov=nesterov)
    schedule = torch.optim.lr_scheduler.MultiStepLR(reference, milestones=[4], gamma=0.1)
    random = np.random.default_rng(0)
    for _ in range(6):
        grads = jax.tree.map(np.zeros_like, PARAMS)
        for name, parameter in theirs.items():
            gradient = random.standard_normal((2, 2)).astype(np.float32)
            grads[name]["kernel"], parameter.grad = gradient, torch.from_numpy(gradient.copy())
        torch.nn.utils.clip_grad_norm_(theirs.values(), 1.5)
        reference.step()
        schedule.step()
        params, state = step(grads, state, params)
    for name, parameter in theirs.items():
        np.testing.assert_allclose(params[name]["kernel"], parameter.detach().numpy(), rtol=1e-5)


def test_a_run_of_one_step_takes_the_full_learning_rate(tiny_config: ConfigDict) -> None:
    schedule = learning_rate_schedule(tiny_config, steps=1, steps_per_epoch=3)
    assert rates_of(schedule, 1) == pytest.approx(tiny_config.optimizer.learning_rate)


def test_biases_and_one_dimensional_parameters_are_not_decayed_but_the_position_bias_is(
    tiny_config: ConfigDict,
) -> None:
    params = build_model(tiny_config, 10).shapes["params"]
    mask = traverse_util.flatten_dict(decay_mask(tiny_config, params), sep="/")
    kinds = {name.rsplit("/", 1)[-1] for name in mask}
    assert {"kernel", "bias", "scale", "rpb"} <= kinds
    for name, decayed in mask.items():
        assert decayed == name.endswith(("/kernel", "/rpb")), name


def test_a_rule_of_the_recipe_comes_before_the_number_of_dimensions(tiny_config: ConfigDict) -> None:
    tiny_config.optimizer.decay_mask = (("head/.*", False), (".*bias", True))
    assert decay_mask(tiny_config, PARAMS) == {
        "stem": {"kernel": True, "bias": True},
        "block": {"kernel": True, "bias": True},
        "head": {"kernel": False, "bias": False},
    }


def test_only_what_the_mask_names_shrinks_without_a_gradient(tiny_config: ConfigDict) -> None:
    tiny_config.optimizer.weight_decay = 0.5
    updates, _ = update(tiny_config, jax.tree.map(np.zeros_like, PARAMS))
    np.testing.assert_allclose(updates["head"]["kernel"], -0.05, rtol=1e-6)
    np.testing.assert_array_equal(updates["head"]["bias"], 0)


@pytest.mark.parametrize(("clip_norm", "expected"), [(1.0, 1.0), (100.0, 5.0), (0.0, 5.0)])
@pytest.mark.parametrize("frozen", [(), (("block/.*", True),)])
def test_the_gradient_is_clipped_by_its_norm_over_all_parameters_that_are_trained(
    tiny_config: ConfigDict, clip_norm: float, expected: float, frozen: tuple[tuple[str, bool], ...]
) -> None:
    tiny_config.optimizer.clip_norm = clip_norm
    tiny_config.optimizer.frozen = frozen
    grads = jax.tree.map(np.zeros_like, PARAMS)
    grads["stem"]["bias"][0], grads["head"]["bias"][1] = 3, 4
    # What the training step gives for frozen parameters is 0; anything else must not count either.
    grads["block"]["bias"][:] = 100 if frozen else 0
    _, state = update(tiny_config, grads)
    # Adam's first moment after one step is (1 - beta1) times the gradient that it saw.
    moments = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(optax.tree.get(state, "mu"))])
    seen = np.linalg.norm(moments) / (1 - tiny_config.optimizer.betas[0])
    assert float(seen) == pytest.approx(expected, rel=1e-5)


def test_a_learning_rate_multiplier_scales_the_whole_update(tiny_config: ConfigDict) -> None:
    grads = jax.tree.map(lambda leaf: np.linspace(-1, 2, leaf.size, dtype=np.float32).reshape(leaf.shape), PARAMS)
    plain, _ = update(tiny_config, grads)
    tiny_config.optimizer.learning_rate_multipliers = (("head/kernel", 10.0), ("head/.*", 0.0))
    scaled, _ = update(tiny_config, grads)
    factors = {"stem": {"kernel": 1, "bias": 1}, "block": {"kernel": 1, "bias": 1}, "head": {"kernel": 10, "bias": 0}}
    jax.tree.map(lambda a, b, c: np.testing.assert_allclose(a, b * c, rtol=1e-6), scaled, plain, factors)


def test_layer_decay_slows_each_layer_below_the_last(tiny_config: ConfigDict) -> None:
    tiny_config.optimizer.layer_decay = 0.5
    tiny_config.optimizer.learning_rate_multipliers = (("stem/bias", 3.0),)
    layers = ("stem/.*", "block/.*", "head/.*")
    assert learning_rate_factors(tiny_config, PARAMS, layers) == {
        "stem": {"kernel": 0.25, "bias": 0.75},
        "block": {"kernel": 0.5, "bias": 0.5},
        "head": {"kernel": 1.0, "bias": 1.0},
    }
    with pytest.raises(UserError, match=r"layer_decay is 0.5, but the model .* does not say what its layers are"):
        learning_rate_factors(tiny_config, PARAMS)


def test_every_parameter_of_a_model_belongs_to_one_of_its_layers(tiny_config: ConfigDict) -> None:
    traced = build_model(tiny_config, 10)
    model = traced.model
    layers = matches("layers", model.layer_patterns(), traced.shapes["params"])
    assert None not in layers.values()
    assert {layer for path, layer in layers.items() if path.startswith("patch_embed1/")} == {0}
    assert layers["head/kernel"] == len(model.layer_patterns()) - 1


def test_frozen_parameters_have_no_moments_and_no_update(tiny_config: ConfigDict) -> None:
    tiny_config.optimizer.frozen = (("stem/bias", False), ("stem/.*", True))
    updates, state = update(tiny_config, jax.tree.map(np.ones_like, PARAMS))
    np.testing.assert_array_equal(updates["stem"]["kernel"], 0)
    assert (updates["stem"]["bias"] != 0).all()
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert sum(leaf.size for leaf in moments) == 2 * sum(
        leaf.size for leaf in jax.tree.leaves(PARAMS) if leaf is not PARAMS["stem"]["kernel"]
    )


@pytest.mark.parametrize("field", ["decay_mask", "frozen", "learning_rate_multipliers"])
def test_a_pattern_without_a_parameter_is_refused(tiny_config: ConfigDict, field: str) -> None:
    tiny_config.optimizer[field] = (("hed/.*", True),)
    with pytest.raises(
        UserError, match=rf"optimizer.{field}: the pattern 'hed/\.\*' matches no parameter.*head/kernel"
    ):
        update(tiny_config, PARAMS)


def test_something_must_be_left_to_train(tiny_config: ConfigDict) -> None:
    tiny_config.optimizer.frozen = ((".*", True),)
    with pytest.raises(UserError, match=r"optimizer.frozen leaves no parameter to train"):
        update(tiny_config, PARAMS)
