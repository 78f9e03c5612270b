"""Features in a step: who learns them, what is trained for it, and what of that is left."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_variables import drawn_variables
from flax import linen as nn
from flax import traverse_util
from ml_collections import ConfigDict
from shared_programs import with_start_compiled_once
from steps_beside_model import Trained, assert_goes_on_bit_for_bit, first_steps, steps

from motion_vit import UserError
from motion_vit.models.checked_model import trace_model
from motion_vit.models.intermediates import name_output
from motion_vit.models.registry import register_model
from motion_vit.models.video_model import Backbone, VideoModel
from motion_vit.training.checkpoints.run_checkpoints import load_for_inference
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.objectives.feature_teaching import PROJECTIONS, FeaturePair, FeatureTeaching, feature_teaching
from motion_vit.training.objectives.teaching import Teacher
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.checks import validate_fields
from motion_vit.training.recipe.config import default_config
from motion_vit.training.step.program import TrainingProgram, build_program


class Patches(Backbone):
    """A classifier of patches, whose width is an option."""

    num_classes: int = 5
    frames: int = 2
    image_size: int = 16
    width: int = 8
    side: int = 4

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        size = (1, self.side, self.side)
        x = nn.Conv(self.width, size, size, dtype=self.dtype, name="patches")(clips)
        x = name_output(self, "patches_output", nn.gelu(x))
        x = name_output(self, "last_output", nn.gelu(nn.Dense(self.width, dtype=self.dtype, name="last")(x)))
        return nn.Dense(self.num_classes, name="head")(x.astype(jnp.float32).mean(axis=(1, 2, 3)))

    def activation_layer(self) -> str:
        return "last_output"


class Unnamed(Patches):
    """The same, of which nothing is known."""

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        return nn.Dense(self.num_classes, name="head")(clips.mean(axis=(1, 2, 3)))


class NoLast(Patches):
    """The same, which does not say which features are its last."""

    def activation_layer(self) -> str:
        return Backbone.activation_layer(self)


def recipe(**fields: object) -> ConfigDict:
    register_model("patches", Patches, description="for tests")
    config = default_config()
    config.name, config.model.name = "taught", "patches"
    config.data.frames, config.data.size = 2, 16
    config.batch_size = 8
    config.ema = ((r".*", 0.5),)
    config.optimizer.learning_rate, config.optimizer.warmup_epochs, config.optimizer.eps = 1e-2, 0.0, 1e-4
    config.distillation.teachers = ("a", "b")
    config.distillation.feature_weight = 2.0
    for name, value in fields.items():
        config.distillation[name] = value
    validate_fields(config)
    return config


def teacher(mesh: jax.sharding.Mesh, model: VideoModel, name: str = "a", seed: int = 5) -> Teacher:
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, model.dtype), drawn_variables(model, seed))
    return Teacher(
        name, model, jax.device_put(variables, meshes.replicated(mesh)), normalization(recipe()), (3, 1, 4, 0, 2)
    )


def program_of(config: ConfigDict, **sizes: int) -> TrainingProgram:
    """Two teachers: one on the student's grid, in bfloat16, and one of larger patches."""
    count = int(np.prod(list(sizes.values())))
    mesh = meshes.make_mesh(**sizes, devices=jax.devices()[:count])
    teachers = [teacher(mesh, Patches(width=12, dtype=jnp.bfloat16)), teacher(mesh, Patches(width=6, side=8), "b", 6)]
    with jax.numpy_dtype_promotion("standard"):
        program = build_program(
            config, mesh, clips_of_class=[1] * 5, total_steps=20, steps_per_epoch=20, teachers=teachers
        )
    return with_start_compiled_once(program)


@pytest.fixture(scope="module")
def program() -> TrainingProgram:
    return program_of(recipe(weight=0.0), data=1)


@pytest.fixture(scope="module")
def trained(program: TrainingProgram) -> Trained:
    return first_steps(program, 4)


def test_features_are_learned_by_the_student_and_what_projects_them(program: TrainingProgram, trained: Trained) -> None:
    state, found = trained
    assert found[-1]["feature_distillation"] < found[0]["feature_distillation"]
    # Alone, the weight of the labels is 1, and that of the logits 0.
    assert found[0]["loss"] > 2.0 * found[0]["feature_distillation"]
    before = jax.device_get(program.initial_state().params)
    kernels = {name: one["pair0"]["kernel"] for name, one in state.params[PROJECTIONS].items()}
    assert {name: kernel.shape for name, kernel in kernels.items()} == {"teacher0": (8, 12), "teacher1": (8, 6)}
    changed = jax.tree.map(lambda one, other: float(np.abs(one - other).max()), state.params, before)
    assert min(jax.tree.leaves(changed)) > 0


@pytest.mark.slow
def test_eight_devices_with_split_parameters_learn_what_one_does(
    trained: Trained,
) -> None:
    config = recipe(weight=0.0)
    config.sharding_rules = ((rf"{PROJECTIONS}/teacher0/.*", ("fsdp", None)), (".*", "fsdp"))
    many = program_of(config, data=4, fsdp=2)
    state, found = steps(many, many.initial_state(), 4)
    for one, other in zip(found, trained[1], strict=True):
        assert one == pytest.approx(other, rel=1e-3)
    assert not state.params[PROJECTIONS]["teacher0"]["pair0"]["kernel"].is_fully_replicated


def test_a_run_goes_on_bit_for_bit_and_its_model_has_no_projection(
    program: TrainingProgram, trained: Trained, tmp_path: pathlib.Path
) -> None:
    averages = assert_goes_on_bit_for_bit(program, trained[0], tmp_path)
    assert PROJECTIONS in averages
    for ema in (False, True):
        loaded = load_for_inference(tmp_path, ema=ema)
        assert set(loaded.variables["params"]) == {"patches", "last", "head"}


@pytest.mark.slow
def test_a_student_that_is_its_teacher_has_no_loss_and_only_the_student_gets_a_gradient() -> None:
    model = Patches()
    variables = trace_model(model).init(jax.random.key(0))
    clips = jax.random.normal(jax.random.key(1), (2, *model.clip_shape))
    pair = FeaturePair("last_output", "last_output", (8, 8))
    loss = FeatureTeaching(((pair,),))
    identity = {"teacher0": {"pair0": {"kernel": jnp.eye(8)}}}

    def total(student: dict, teacher: dict) -> jax.Array:
        _, ours = model.apply(student, clips, mutable=["features"])
        _, theirs = model.apply(teacher, clips, mutable=["features"])
        ours, theirs = ({name: value[0] for name, value in stored["features"].items()} for stored in (ours, theirs))
        taught = jax.lax.stop_gradient(loss.taught(0, theirs))
        return loss.losses(identity, ours, [taught], clips=2).sum()

    with jax.numpy_dtype_promotion("standard"):
        assert float(total(variables, variables)) == pytest.approx(0, abs=1e-6)
        other = trace_model(model).init(jax.random.key(2))
        ours, theirs = jax.grad(total, argnums=(0, 1))(variables, other)
    flat = traverse_util.flatten_dict(ours["params"], sep="/")
    assert {name for name, value in flat.items() if np.any(value)} == {name for name in flat if "head" not in name}
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(theirs))


def made(model: VideoModel, other: VideoModel, **fields: object) -> FeatureTeaching | None:
    with jax.numpy_dtype_promotion("standard"):
        return feature_teaching(
            recipe(**fields), model, trace_model(model).shapes, [("its", other, trace_model(other).shapes)]
        )


def test_named_pairs_are_learned_or_the_last_features_and_nothing_without_a_weight() -> None:
    assert made(Patches(), Patches(width=6)).pairs == ((FeaturePair("last_output", "last_output", (8, 6)),),)
    named = made(Patches(), NoLast(width=6), features=(("patches_output", "last_output"), ("last_output",) * 2))
    assert [pair[:2] for pair in named.pairs[0]] == [("patches_output", "last_output"), ("last_output", "last_output")]
    assert made(Patches(), Patches(), feature_weight=0.0) is None


@pytest.mark.parametrize(
    ("models", "features", "message"),
    [
        (
            (Patches, Patches),
            (("patch_output", "last_output"),),
            "the model has no features 'patch_output'.*patches_",
        ),
        ((Patches, Patches), (("last_output", "norm"),), "the teacher its has no features 'norm'"),
        ((Patches, NoLast), (), "the teacher its does not say which are its last features. Name pairs"),
        ((Unnamed, Patches), (), "the model names no features that could be learned"),
    ],
)
def test_features_that_are_not_there_are_told(
    models: tuple[type[Patches], type[Patches]], features: tuple[tuple[str, str], ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        made(models[0](), models[1](), features=features)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"features": (("a", "b"),), "feature_weight": 0.0}, "names features, but distillation.feature_weight is 0"),
        ({"teachers": ()}, "feature_weight is 2, but there is no teacher"),
        ({"weight": 0.0, "feature_weight": 0.0}, "distillation.weight and distillation.feature_weight are 0"),
        ({"features": ("norm_output",)}, "distillation.features"),
    ],
)
def test_fields_that_contradict_each_other_are_told(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe(**fields)
