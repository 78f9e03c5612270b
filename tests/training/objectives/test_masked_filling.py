"""A step of masked filling: the same on every arrangement of devices, of clips that count, and of hidden places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from pretraining_recipe import filling_recipe, pretraining_recipe
from pretraining_steps import assert_same, host_batch, program_of, two_steps

from motion_vit import UserError
from motion_vit.training.objectives.masked_autoencoding import masked_autoencoding
from motion_vit.training.objectives.masked_filling import masked_filling
from motion_vit.training.objectives.masked_prediction import MaskedClips, MaskedPrediction
from motion_vit.training.objectives.objective import StepContext
from motion_vit.training.recipe.checks import build_model
from motion_vit.training.step.objective_registry import trace_network
from motion_vit.training.step.program import TrainingProgram
from motion_vit.training.step.state import TrainState

RULES = (("pixel_head/kernel", ("fsdp", None)), ("mask_token", (None, "fsdp", None, None)), (".*", "fsdp"))
STEPS = 60


def inputs_of(objective: MaskedPrediction, batch: dict[str, np.ndarray], seed: int) -> MaskedClips:
    """What is seen and to be predicted of a batch in a step that reads nothing besides."""

    @jax.jit
    def inputs(batch: dict[str, jax.Array], key: jax.Array) -> MaskedClips:
        return objective.inputs(batch, StepContext(jnp.zeros((), jnp.int32), jnp.zeros(()), {}, {}, ()), key)

    return inputs(batch, jax.random.key(seed))


def each_clip_by_itself() -> ConfigDict:
    """The recipe with BatchNorm over each clip, so that those that do not count can change nothing."""
    config = filling_recipe()
    config.model.options.batch_norm_groups = 8
    config.optimizer.learning_rate = 1e-2
    # Biases before a BatchNorm have no gradient but rounding errors, which Adam otherwise makes steps of full length.
    config.optimizer.eps = 1e-4
    return config


@pytest.fixture(scope="module")
def program() -> TrainingProgram:
    with jax.numpy_dtype_promotion("standard"):
        return program_of(each_clip_by_itself(), 1, 1, 1, steps=STEPS)


@pytest.fixture(scope="module")
def on_one_device(program: TrainingProgram) -> tuple[TrainState, list]:
    with jax.numpy_dtype_promotion("standard"):
        return two_steps(program)


@pytest.mark.slow
def test_a_step_learns_and_reports_no_accuracy(on_one_device: tuple[TrainState, list]) -> None:
    state, (first, second) = on_one_device
    assert first.keys() == {"loss", "grad_norm", "learning_rate", "weight"}
    assert second["loss"] < first["loss"]
    assert first["weight"] == 7
    assert np.abs(state.batch_stats["norm"]["mean"]).max() > 0


@pytest.mark.slow
def test_devices_and_blocks_that_are_computed_again_change_no_number(on_one_device: tuple[TrainState, list]) -> None:
    config = each_clip_by_itself()
    config.sharding_rules = RULES
    config.remat = "blocks"
    assert_same(two_steps(program_of(config, 2, 2, 2, steps=STEPS)), on_one_device)


@pytest.mark.slow
def test_clips_that_cannot_be_decoded_weigh_nothing(
    program: TrainingProgram, on_one_device: tuple[TrainState, list]
) -> None:
    batch = host_batch(16)
    batch["clip"][2] = 0
    assert_same(two_steps(program, batch), on_one_device, rtol=1e-6)


@pytest.mark.slow
def test_what_follows_from_what_is_seen_is_learned(program: TrainingProgram) -> None:
    state, rng, losses = program.initial_state(), np.random.default_rng(0), []
    ramp = (np.arange(16) % 4 - 1.5) / 4
    for _ in range(STEPS):
        # All tubelets of a clip rise to the right, or all fall: what the hidden ones do is seen by the others.
        sign = rng.choice([-1, 1], (8, 1, 1, 1, 1))
        clips = np.broadcast_to(128 + 100 * sign * ramp[:, None], (8, 4, 16, 16, 3)).astype(np.uint8)
        state, metrics = program.step(state, program.to_devices({**host_batch(16), "clip": clips}))
        losses.append(float(metrics["loss"]))
    # The loss of predicting 0 is 1 - 1/16, also of who knows no more than that both are as frequent.
    assert np.mean(losses[-5:]) < 0.2


def test_masks_and_targets_are_those_of_masked_autoencoding() -> None:
    ours, theirs = filling_recipe(), pretraining_recipe()
    theirs.data.size = 16
    theirs.model.options.update(tubelet_frames=1, patch_size=4)  # the tubelets of the one are those of the other then
    found, expected = (
        inputs_of(make(config, build_model(config, 5).model), host_batch(16), 3)
        for make, config in ((masked_filling, ours), (masked_autoencoding, theirs))
    )
    assert found.targets.shape == (8, 4, 12, 48)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_the_loss_is_of_hidden_places_alone() -> None:
    config = filling_recipe()
    objective = masked_filling(config, build_model(config, 5).model)
    inputs = inputs_of(objective, {"clip": host_batch(16)["clip"]}, 0)
    hidden, visible = (np.asarray(places) for places in (inputs.mask.predicted, inputs.mask.visible))
    np.testing.assert_array_equal(
        np.sort(np.concatenate([hidden, visible], axis=-1)), np.broadcast_to(np.arange(16), (8, 4, 16))
    )
    assert inputs.mask.counted.all()


@pytest.mark.fast_cases("model.name-*", "pretraining.*")
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("augmentation.mixup", 0.8, "masked filling would have to predict noise, or two clips in one"),
        ("optimizer.layer_decay", 0.75, "layer_decay is 0.75, which is for fine-tuning"),
        ("data.validation", "videos.csv", "pretraining classifies nothing that could be evaluated"),
        ("data.size", 18, "1 x 4 x 4 pixels, which the last features stand for, do not fill clips of 4 frames of 18"),
        ("pretraining.mask_ratio", 0.01, "hides 0 of the 16 places"),
        ("pretraining.decoder_mask", 0.5, "decoder_mask is 0.5, but masked filling has no decoder.*Leave it at 0.0"),
        ("pretraining.decoder_width", 64, "decoder_width is 64, but masked filling has no decoder"),
        ("model.name", "videomae_tiny", "a VideoMAE cannot be pretrained by masked filling"),
    ],
)
def test_recipes_that_cannot_be_pretrained_are_refused(field: str, value: object, message: str) -> None:
    config = filling_recipe()
    group, name = field.split(".")
    config[group][name] = value
    if field == "model.name":
        config.model.options = {}
    with pytest.raises(UserError, match=message):
        trace_network(config, 5)
