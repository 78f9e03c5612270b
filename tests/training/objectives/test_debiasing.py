"""Debiasing in a step: the numbers of the authors' heads, who learns what in which turn, and what of it is left."""

import pathlib
from typing import Any

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from ml_collections import ConfigDict
from shared_programs import shared_program
from steps_beside_model import Trained, assert_goes_on_bit_for_bit, first_steps, steps

from motion_vit import UserError, create_model
from motion_vit.models.checked_model import trace_model
from motion_vit.models.intermediates import name_output
from motion_vit.models.registry import register_model
from motion_vit.models.token_layout import TokenLayout, patch_layout
from motion_vit.models.video_model import Backbone, VideoModel
from motion_vit.training.checkpoints.run_checkpoints import load_for_inference
from motion_vit.training.losses.evidential import evidential
from motion_vit.training.losses.independence import hsic
from motion_vit.training.objectives.debiasing import HEADS, Debiasing, Grid, debiasing
from motion_vit.training.objectives.debiasing_heads import DebiasingHeads
from motion_vit.training.objectives.objective import StepContext
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.checks import validate_fields
from motion_vit.training.recipe.config import default_config, flatten, set_field
from motion_vit.training.step.muon import matrices
from motion_vit.training.step.program import TrainingProgram

GOLDEN = goldens.load("dear/debias")


class Named(nn.Module):
    """A layer of patches whose output has a name."""

    width: int
    output: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return name_output(self, self.output, nn.gelu(nn.Dense(self.width)(x)))


class Staged(Backbone):
    """Three stages of patches, and, in the last one, what loses frames or the grid."""

    num_classes: int = 5
    frames: int = 4
    image_size: int = 8
    width: int = 4

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        x = nn.Conv(self.width, (1, 4, 4), (1, 4, 4), name="patches")(clips)
        x = Named(self.width, "block0_output", name="stage1")(x)
        x = Named(self.width, "block0_output", name="stage2")(x)
        x = Named(2 * self.width, "block1_output", name="stage3")(x)
        name_output(self, "pairs_output", x[:, :2])
        name_output(self, "clip_output", x.mean(axis=(1, 2, 3)))
        name_output(self, "sequence_output", x.reshape(len(x), -1, x.shape[-1]))
        return nn.Dense(self.num_classes, name="head")(x.astype(jnp.float32).mean(axis=(1, 2, 3)))

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        return patch_layout(*clip_shape[:3], patch_sizes=(2,))

    def with_frames_split(self, axis: str) -> VideoModel:
        return self  # the compiler finds how


def recipe(**fields: object) -> ConfigDict:
    register_model("staged", Staged, description="for tests")
    config = default_config()
    config.name, config.model.name = "debiased", "staged"
    config.data.frames, config.data.size = 4, 8
    config.batch_size = 8
    config.ema = ((r".*", 0.5),)
    config.optimizer.learning_rate, config.optimizer.warmup_epochs, config.optimizer.eps = 1e-2, 0.0, 1e-4
    config.debiasing.weight = 0.5
    for name, value in fields.items():
        set_field(config, name.replace("__", "."), value)
    validate_fields(config)
    return config


def program_of(config: ConfigDict, **sizes: int) -> TrainingProgram:
    mesh = meshes.make_mesh(**sizes, devices=jax.devices()[: int(np.prod(list(sizes.values())))])
    with jax.numpy_dtype_promotion("standard"):
        return shared_program(config, mesh, clips_of_class=[1] * 5, total_steps=20, steps_per_epoch=20)


@pytest.fixture(scope="module")
def program() -> TrainingProgram:
    """Without a loss of the labels, so that all of the loss is debiasing."""
    return program_of(recipe(loss__classification=0.0), data=1)


@pytest.fixture(scope="module")
def trained(program: TrainingProgram) -> Trained:
    return first_steps(program, 4)


def test_heads_have_the_outputs_and_gradients_of_the_authors_code() -> None:
    def kernel(name: str) -> np.ndarray:
        weight = GOLDEN[f"head/init/{name}"]
        return weight.transpose(*range(2, weight.ndim), 1, 0)

    names = {"ordered": ("f1_conv3d", "f1_fc"), "shuffled": ("f2_conv3d", "f2_fc"), "frames": ("f3_conv2d", "f3_fc")}
    params = {
        head: {
            "convolution": {"kernel": kernel(f"{conv}.conv.weight")},
            "norm": {
                "scale": GOLDEN[f"head/init/{conv}.bn.weight"],
                "bias": GOLDEN[f"head/init/{conv}.bn.bias"],
            },
            "head": {"kernel": kernel(f"{fc}.weight"), "bias": GOLDEN[f"head/init/{fc}.bias"]},
        }
        for head, (conv, fc) in names.items()
    }
    feature = GOLDEN["head/feature"].transpose(0, 2, 3, 4, 1)
    heads, risk = DebiasingHeads(4), evidential((), calibration=False)

    def losses(feature: jax.Array, params: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        targets, every = jax.nn.one_hot(jnp.asarray(GOLDEN["head/target"]), 4), jnp.ones(len(feature))
        shuffled = feature[:, jnp.asarray(GOLDEN["head/shuffle"])]
        own = heads.apply({"params": params}, feature, every, method="unbiased")
        others = heads.apply({"params": params}, feature, shuffled, every, method="biased")
        outputs = dict(zip(("unbias", "bias1", "bias2"), (own, *others), strict=True))
        found = {
            f"loss_{name}_cls": 0.1 * risk(output.logits, targets, progress=jnp.zeros(()))
            for name, output in outputs.items()
        }
        # That mode compares alpha, not features, and adds the negative of the criterion.
        alphas = {name: jnp.exp(output.logits) + 1 for name, output in outputs.items()}
        for name in ("bias1", "bias2"):
            found[f"loss_{name}_hsic"] = -0.1 * hsic(alphas["unbias"], alphas[name], every, "biased")[None]
        return jnp.sum(jnp.stack([jnp.mean(loss) for loss in found.values()])), found

    (total, found), gradient = jax.jit(jax.value_and_grad(losses, has_aux=True))(feature, params)
    for name, loss in found.items():
        np.testing.assert_allclose(loss, GOLDEN[f"head/loss/{name}"].ravel(), rtol=2e-4 if "hsic" in name else 1e-5)
    np.testing.assert_allclose(total, GOLDEN["head/total"], rtol=1e-5)
    channel_first = np.asarray(gradient).transpose(0, 4, 1, 2, 3)
    expected = GOLDEN["head/grad_feature"]
    np.testing.assert_allclose(channel_first, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_each_turn_moves_its_own_side_and_moves_the_criterion_as_it_is_meant_to() -> None:
    loss = Debiasing("features", Grid(4, 3, 3), channels=6, num_classes=3, dropout=0.0)
    features = np.random.default_rng(1).standard_normal((8, 4, 3, 3, 6), np.float32)
    heads = jax.device_get(jax.jit(loss.init)(jax.random.key(2)))

    def criterion(heads: Any, features: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        context = StepContext(step, jnp.zeros(()), {}, {}, ())
        targets, weights = jax.nn.one_hot(jnp.arange(8) % 3, 3), jnp.ones(8)
        found = loss.judge(heads, {"features": features}, targets, weights, context, jax.random.key(3))
        return found.criterion, jnp.sum(jnp.stack(list(found.summaries.values())))

    compiled = jax.jit(jax.value_and_grad(criterion, argnums=(0, 1), has_aux=True))
    for step, moved, rises in ((1, {"ordered"}, False), (4, {"shuffled", "frames"}, True)):
        (_, before), (of_heads, of_features) = jax.device_get(compiled(heads, features, np.int32(step)))
        assert {name for name, each in of_heads.items() if each["convolution"]["kernel"].any()} == moved
        assert bool(of_features.any()) != rises  # the model learns where the criterion is to fall
        size = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(of_heads)))
        after_step = jax.tree.map(lambda value, gradient, size=size: value - 0.03 * gradient / size, heads, of_heads)
        (value, after), _ = jax.device_get(compiled(after_step, features, np.int32(step)))
        assert (after > before) == rises
        assert value == pytest.approx(-after if rises else after)


def test_the_loss_is_that_of_the_heads_and_the_criterion_with_the_sign_of_the_turn(
    trained: Trained,
) -> None:
    for number, metrics in enumerate(trained[1]):
        sign = 1 if number % 2 else -1
        criterion = metrics["hsic_shuffled"] + metrics["hsic_frames"]
        assert criterion
        assert metrics["loss"] == pytest.approx(0.5 * (metrics["debiasing"] + 20.0 * sign * criterion), rel=1e-5)
    assert trained[1][-1]["debiasing"] < trained[1][0]["debiasing"]


def test_features_heads_and_averages_are_trained(program: TrainingProgram, trained: Trained) -> None:
    before = jax.device_get(program.initial_state().params)
    changed = jax.tree.map(lambda one, other: float(np.abs(one - other).max()), trained[0].params, before)
    # The features are those of stage 2, and no label is learned.
    assert {name for name, tree in changed.items() if not all(jax.tree.leaves(tree))} == {"stage3", "head"}
    assert set(trained[0].ema[HEADS]) == {"ordered", "shuffled", "frames"}


def test_a_clip_that_could_not_be_decoded_weighs_nothing_whatever_its_pixels(
    program: TrainingProgram, trained: Trained
) -> None:
    _, found = steps(program, program.initial_state(), 2, undecodable=200)
    for one, other in zip(found, trained[1], strict=False):
        assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.slow
def test_eight_devices_with_split_parameters_and_frames_learn_what_one_does(
    trained: Trained,
) -> None:
    rules = ((rf"{HEADS}/frames/convolution/kernel", (None, None, None, "fsdp")), (".*", "fsdp"))
    many = program_of(recipe(loss__classification=0.0, sharding_rules=rules), data=2, fsdp=2, frames=2)
    state, found = steps(many, many.initial_state(), 3)
    for one, other in zip(found, trained[1], strict=False):
        assert one == pytest.approx(other, rel=1e-3)
    assert not state.params[HEADS]["frames"]["convolution"]["kernel"].is_fully_replicated


def test_a_run_goes_on_bit_for_bit_and_its_model_has_no_heads(
    program: TrainingProgram, trained: Trained, tmp_path: pathlib.Path
) -> None:
    assert_goes_on_bit_for_bit(program, trained[0], tmp_path)
    for ema in (False, True):
        loaded = load_for_inference(tmp_path, ema=ema)
        assert set(loaded.variables["params"]) == {"patches", "stage1", "stage2", "stage3", "head"}


def test_without_a_weight_nothing_is_trained_beside_the_model() -> None:
    state = program_of(recipe(debiasing__weight=0.0), data=1).state_shapes
    assert HEADS not in state.params
    assert not state.beside_model


def test_muon_leaves_the_logits_of_the_heads_to_adamw(program: TrainingProgram) -> None:
    counts = matrices((), program.state_shapes.params)[HEADS]
    for head in counts.values():
        assert (head["convolution"]["kernel"], head["head"]["kernel"]) == (1, 0)


def made(model: VideoModel, **fields: object) -> Debiasing | None:
    with jax.numpy_dtype_promotion("standard"):
        return debiasing(recipe(**fields), model, trace_model(model).shapes)


@pytest.mark.fast_cases("videomae_tiny-*", "timesformer_tiny-*")
@pytest.mark.parametrize(
    ("name", "options", "features", "expected"),
    [
        ("slowfast_tiny", {"frame_ratio": 2}, "", "slow_stage3/block0_output"),
        ("videomae_tiny", {}, "", "norm_output"),
        ("timesformer_tiny", {"depth": 1}, "blocks/block0_output", Grid(8, 2, 2, 1)),
        ("timesformer_tiny", {"depth": 1, "attention": "space_only"}, "blocks/block0_output", Grid(8, 2, 2, 1)),
    ],
)
def test_features_are_those_before_the_last_stage_or_the_last_ones_and_sequences_are_put_on_their_grid(
    name: str, options: dict[str, Any], features: str, expected: str | Grid
) -> None:
    model = create_model(name, frames=8, image_size=32, num_classes=3, **options)
    found = made(model, debiasing__features=features)
    assert expected in (found.name, found.grid)


@pytest.mark.slow
def test_class_tokens_are_left_out() -> None:
    features = jax.random.normal(jax.random.key(0), (8, 4, 2, 2, 3))
    context = StepContext(jnp.array(1), jnp.zeros(()), {}, {}, ())
    inputs = jax.nn.one_hot(jnp.arange(8) % 3, 3), jnp.ones(8), context, jax.random.key(1)
    found = []
    for class_tokens, values in (
        (0, features),
        (1, jnp.pad(features.reshape(8, 16, 3), ((0, 0), (1, 0), (0, 0)))),
        (1, jnp.pad(features.reshape(32, 4, 3), ((0, 0), (1, 0), (0, 0)))),
    ):
        loss = Debiasing("features", Grid(4, 2, 2, class_tokens), channels=3, num_classes=3)
        heads = jax.jit(loss.init)(jax.random.key(2))
        found.append(jax.jit(loss.judge)(heads, {"features": values}, *inputs).losses)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ("stage2/block1_output", "has no features 'stage2/block1_output'.*Close to it are: stage"),
        ("pairs_output", "'pairs_output' .* have 2 of the 3 or more frames.*raise data.frames"),
        ("clip_output", r"'clip_output' .* are of the shape \[1, 8\] for one clip, which is no grid"),
        ("sequence_output", r"'sequence_output' .* are of the shape \[1, 16, 8\] for one clip, which is no grid"),
    ],
)
def test_features_that_cannot_be_debiased_are_told(features: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        made(Staged(), debiasing__features=features)


def test_a_model_whose_classifier_reads_a_class_token_asks_for_a_name() -> None:
    with pytest.raises(UserError, match=r"does not say which are its last features. Name features in .*features, such"):
        made(create_model("timesformer_tiny", frames=4, image_size=32, depth=1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"debiasing.weight": 0.0, "debiasing.features": "a"}, "features is 'a', but debiasing.weight is 0"),
        ({"objective": "masked_filling"}, "objective is 'masked_filling', .*learns from labels. Set it to 'classif"),
        ({"accumulation": 2}, "accumulation is 2, which does not go with debiasing: it compares all clips"),
        ({"batch_size": 3}, "3 clips of a step, but debiasing.estimator='unbiased' needs 4 or more"),
        ({"data.features": "folder"}, "debiasing.weight is 0.5, which needs the pixels of clips"),
        ({"debiasing.estimator": "mutual"}, "debiasing.estimator"),
        (
            {"loss.name": "evidential", "augmentation.mixup": 0.8, "loss.label_smoothing": 0.0},
            "augmentation.mixup is 0.8, but must be 0: the calibration",
        ),
    ],
)
def test_fields_that_do_not_go_together_are_told(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe(**fields)


def test_losses_of_softmax_and_of_evidence_mixed_targets_and_small_batches_go_with_it() -> None:
    fields = {"loss.name": "evidential", "loss.options.calibration": False, "augmentation.mixup": 0.8}
    for each in (fields, {"augmentation.cutmix": 1.0}, {"batch_size": 2, "augmentation.repeats": 2}):
        assert flatten(recipe(**each))["debiasing.weight"] == 0.5
    assert recipe(**{"batch_size": 2, "debiasing.estimator": "biased"}).batch_size == 2
