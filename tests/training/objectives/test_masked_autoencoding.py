"""A step of masked autoencoding: the same on every arrangement of devices, and of clips that count alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pretraining_recipe import pretraining_recipe
from pretraining_steps import assert_same, host_batch, program_of, two_steps

from motion_vit import UserError
from motion_vit.training.step.objective_registry import trace_network
from motion_vit.training.step.state import TrainState

RULES = (("decoder/head/kernel", ("fsdp", None)), ("blocks/.*/fc1/kernel", (None, "fsdp")), (".*", "fsdp"))


@pytest.fixture(scope="module")
def on_one_device() -> tuple[TrainState, list]:
    with jax.numpy_dtype_promotion("standard"):
        return two_steps(program_of(pretraining_recipe(), 1, 1, 1))


def test_a_step_learns_and_reports_no_accuracy(on_one_device: tuple[TrainState, list]) -> None:
    _, (first, second) = on_one_device
    assert first.keys() == {"loss", "grad_norm", "learning_rate", "weight"}
    assert second["loss"] < first["loss"]
    assert first["weight"] == 7


@pytest.mark.slow
def test_data_parameters_and_frames_split_over_eight_devices_learn_what_one_does(
    on_one_device: tuple[TrainState, list],
) -> None:
    config = pretraining_recipe()
    config.sharding_rules = RULES
    assert_same(two_steps(program_of(config, 2, 2, 2)), on_one_device)


@pytest.mark.slow
def test_blocks_that_are_computed_again_change_no_number(on_one_device: tuple[TrainState, list]) -> None:
    config = pretraining_recipe()
    config.remat = "blocks"
    assert_same(two_steps(program_of(config, 1, 1, 1)), on_one_device)


def test_clips_that_cannot_be_decoded_weigh_nothing(on_one_device: tuple[TrainState, list]) -> None:
    batch = host_batch()
    batch["clip"][2] = 0
    assert_same(two_steps(program_of(pretraining_recipe(), 1, 1, 1), batch), on_one_device, rtol=1e-6)


@pytest.mark.slow
def test_bfloat16_in_parts_of_which_v2_predicts_a_part_learns_what_follows_from_what_is_seen() -> None:
    config = pretraining_recipe()
    config.accumulation = 2
    config.model.options.dtype = "bfloat16"
    config.pretraining.decoder_mask = 0.5
    config.pretraining.normalise_target = False
    config.optimizer.learning_rate = 1e-2
    steps = 300
    program = program_of(config, 1, 1, 1, steps=steps)
    state, rng, losses = program.initial_state(), np.random.default_rng(0), []
    for _ in range(steps):
        # Clips of one colour each, which hidden tubelets have, too.
        clips = np.broadcast_to(rng.integers(0, 256, (8, 1, 1, 1, 3), dtype=np.uint8), (8, 4, 32, 32, 3))
        state, metrics = program.step(state, program.to_devices({**host_batch(), "clip": clips}))
        losses.append(float(metrics["loss"]))
    # The variance of colours that are uniform in [0, 1] is 1/12: the loss of who knows no more than their mean.
    assert np.mean(losses[-20:]) < 0.2 / 12
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.params))


def test_costs_are_those_of_the_visible_tokens() -> None:
    config = pretraining_recipe()
    costs = trace_network(config, 5).costs
    assert list(costs) == ["embedding", "blocks", "encoder_norm", "decoder"]
    # 2 frames with 4 of 16 places: of a block queries, keys, values, projection and perceptron, and the attention.
    assert costs["blocks"].multiply_adds == 8 * 12 * 16 * 16 + 2 * 8 * 8 * 16


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("augmentation.mixup", 0.8, "masked autoencoding would have to predict noise, or two clips in one"),
        ("augmentation.erasing", 0.25, "masked autoencoding would have to predict noise, or two clips in one"),
        ("optimizer.layer_decay", 0.75, "layer_decay is 0.75, which is for fine-tuning"),
        ("data.validation", "videos.csv", "pretraining classifies nothing that could be evaluated"),
        ("data.size", 36, "2 x 8 x 8 pixels do not fill clips of 4 frames of 36 x 36"),
        ("pretraining.mask_ratio", 0.01, "hides 0 of the 16 places"),
        ("model.name", "uniformer_emim_tiny", "a UniFormer cannot be pretrained"),
    ],
)
def test_recipes_that_cannot_be_pretrained_are_refused(field: str, value: object, message: str) -> None:
    config = pretraining_recipe()
    group, name = field.split(".")
    config[group][name] = value
    if field == "model.name":
        config.model.options = {"depths": (1, 1, 1, 1)}
    with pytest.raises(UserError, match=message):
        trace_network(config, 5)
