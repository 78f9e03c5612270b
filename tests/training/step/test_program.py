"""The compiled training of a small network: the same on every arrangement of devices."""

import dataclasses
import functools
import pathlib
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from drawn_variables import drawn_variables
from flax import traverse_util
from ml_collections import ConfigDict
from small_network import register_small_network

from motion_vit import UserError
from motion_vit.training.inputs.still_bank import write_still_bank
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.config import default_config
from motion_vit.training.step.program import TrainingProgram, build_program
from motion_vit.training.step.state import TrainState

STEPS = 20
OPTIONS = {
    "widths": (8, 8, 16, 64),
    "depths": (1, 1, 1, 1),
    "head_channels": 8,
    "placement": "stage3",  # EMIM in stage 3, global attention in stage 4
    "window": 3,
    "depthwise_implementation": "xla_conv",  # compiles fastest
}
# The matrices of the last perceptron are large enough to be split, and this one is split on request.
RULES = (("head/kernel", ("fsdp", None)), (".*", "fsdp"))
SPLIT = {
    "uniformer_emim_tiny": [*(f"stage4/block0/mlp/{name}/kernel" for name in ("fc1", "fc2")), "head/kernel"],
    "small": ["hidden/kernel", "head/kernel"],
}


def make_recipe(**options: object) -> ConfigDict:
    """A recipe of the smallest network with EMIM, trained by AdamW at its largest learning rate."""
    config = default_config()
    config.model.name = "uniformer_emim_tiny"
    config.model.options.update(OPTIONS | options)
    config.data.frames, config.data.size = 4, 32
    config.batch_size = 8
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_epochs = 0.0
    config.sharding_rules = RULES
    config.ema = ((".*", 0.9),)
    return config


def make_program(config: ConfigDict, shape: tuple[int, int, int] = (1, 1, 1)) -> TrainingProgram:
    mesh = meshes.make_mesh(*shape, devices=jax.devices()[: int(np.prod(shape))])
    return build_program(config, mesh, clips_of_class=[1] * 5, total_steps=STEPS, steps_per_epoch=STEPS)


def host_batch(step: int) -> dict[str, np.ndarray]:
    """One of two batches, so that there is something to learn; a clip of each does not count."""
    rng = np.random.default_rng(step % 2)
    return {
        "clip": rng.integers(0, 256, (8, 4, 32, 32, 3), dtype=np.uint8),
        "label": rng.integers(0, 5, 8, dtype=np.int32),
        "weight": np.array([1, 1, 1, 0, 1, 1, 1, 1], np.float32),
        "index": np.arange(8),
    }


def small_recipe() -> ConfigDict:
    """The same of a network that compiles in a second."""
    register_small_network()
    config = make_recipe()
    config.model.name, config.model.options = "small", {}
    return config


def residual_recipe(**options: object) -> ConfigDict:
    """The same of the network with BatchNorm in every block that compiles fastest."""
    config = make_recipe()
    config.model.name = "resnet18_tiny"
    config.model.options = {"widths": (8, 8, 8, 64), "depths": (1, 1, 1, 1), **options}
    return config


RECIPES = {"uniformer_emim_tiny": make_recipe, "resnet18_tiny": residual_recipe, "small": small_recipe}
either_network = pytest.mark.parametrize("model", ["small", "uniformer_emim_tiny"])


@functools.cache
def first_state(model: str) -> TrainState:
    """The state that all runs of a network start from, made on a mesh that splits it."""
    return make_program(RECIPES[model](), (2, 4, 1)).initial_state()


@functools.cache
def first_state_on_host(model: str) -> TrainState:
    """The same, but for its key, where no step can take its memory."""
    return jax.device_get(first_state(model))


def start(program: TrainingProgram) -> TrainState:
    """The first state on the devices of a program, which may give up its memory."""
    # All that an optimizer begins with is zero; making it would compile a program for every shape.
    optimizer_state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), program.state_shapes.opt_state)
    state = first_state_on_host(program.config.model.name)
    state = dataclasses.replace(state, opt_state=optimizer_state, key=jax.random.clone(state.key))
    return jax.device_put(state, program.state_sharding, may_alias=False)


@dataclasses.dataclass(frozen=True)
class Run:
    """What became of a training."""

    program: TrainingProgram
    state: TrainState
    losses: np.ndarray
    grad_norms: np.ndarray


@functools.cache
def train(shape: tuple[int, int, int] = (1, 1, 1), steps: int = STEPS) -> Run:
    """Steps on a mesh of a shape."""
    return run_program(make_program(make_recipe(stochastic_depth=0.2), shape), steps)


@functools.cache
def train_residual_network() -> Run:
    """Three steps of the other network on one device, with a BatchNorm of each half of the batch."""
    return run_program(make_program(residual_recipe(batch_norm_groups=2)), steps=3)


def run_program(program: TrainingProgram, steps: int) -> Run:
    """Steps from the first state."""
    state = start(program)
    metrics = []
    for number in range(steps):
        state, found = program.step(state, program.to_devices(host_batch(number)))
        metrics.append(jax.device_get(found))
    losses, grad_norms = (np.array([found[name] for found in metrics]) for name in ("loss", "grad_norm"))
    return Run(program, state, losses, grad_norms)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 4, 1), (1, 2, 4)], ids=["data and fsdp", "fsdp and frames"])
def test_twenty_steps_on_eight_devices_equal_those_on_one(shape: tuple[int, int, int]) -> None:
    one, eight = train(), train(shape)
    assert one.losses[-1] < 0.9 * one.losses[0]
    np.testing.assert_allclose(eight.losses, one.losses, rtol=1e-5)
    np.testing.assert_allclose(eight.grad_norms, one.grad_norms, rtol=1e-5)


@pytest.mark.slow
def test_muon_on_eight_devices_equals_muon_on_one() -> None:
    config = small_recipe()
    config.optimizer.name = "muon"
    one, eight = (run_program(make_program(config, shape), steps=5) for shape in ((1, 1, 1), (2, 4, 1)))
    np.testing.assert_allclose(eight.losses, one.losses, rtol=1e-5)
    np.testing.assert_allclose(eight.grad_norms, one.grad_norms, rtol=1e-5)
    assert jax.tree.map(lambda leaf: leaf.sharding, eight.state) == eight.program.state_sharding


@pytest.mark.slow
def test_accumulating_two_halves_equals_two_groups_of_batch_norm() -> None:
    # Without random draws, which differ between a batch and its parts. Few steps: in parts, each takes long on CPU.
    whole = train_residual_network()
    config = residual_recipe()
    config.accumulation = 2
    parts = run_program(make_program(config, (2, 2, 1)), steps=3)
    np.testing.assert_allclose(parts.losses, whole.losses, rtol=1e-5)
    np.testing.assert_allclose(parts.grad_norms, whole.grad_norms, rtol=1e-5)


@functools.cache
def train_split(model: str) -> Run:
    """Two steps of a network on a mesh that splits it."""
    return run_program(make_program(RECIPES[model](), (2, 4, 1)), steps=2)


@pytest.mark.fast_cases("small")
@either_network
def test_a_state_stays_split_by_the_rules(model: str) -> None:
    run = train_split(model)
    assert jax.tree.map(lambda leaf: leaf.sharding, run.state) == run.program.state_sharding
    params = traverse_util.flatten_dict(run.state.params, sep="/")
    for name in SPLIT[model]:
        leaf = params[name]
        assert {part.data.nbytes for part in leaf.addressable_shards} == {leaf.nbytes // 4}


@pytest.mark.fast_cases("small")
@either_network
def test_split_parameters_are_gathered_and_nothing_else(model: str) -> None:
    program = train_split(model).program
    compiled = program.step.lower(program.abstract_state(), program.abstract_batch()).compile().as_text()
    assert not re.search(r"all-to-all|collective-permute", compiled)
    gathered = [
        int(np.prod([int(side) for side in shape.split(",")]))
        for result in re.findall(r"= (.*?) all-gather(?:-start)?\(", compiled)
        for shape in re.findall(r"\[([\d,]+)\]", result)
    ]
    split = [
        leaf.size
        for leaf, sharding in zip(
            jax.tree.leaves(program.state_shapes.params), jax.tree.leaves(program.state_sharding.params), strict=True
        )
        if not sharding.is_fully_replicated
    ]
    assert len(split) == len(SPLIT[model])
    assert set(gathered) == set(split)


@pytest.mark.fast_cases("small")
@either_network
def test_a_split_state_is_evaluated_where_it_lies(model: str) -> None:
    split, whole = (make_program(RECIPES[model](), shape) for shape in ((1, 2, 4), (1, 1, 1)))
    averaged = jax.device_put(drawn_variables(split.model), split.state_sharding.averaged_variables)
    clips = host_batch(0)["clip"]
    outputs = []
    for program, variables in ((split, averaged), (whole, jax.device_get(averaged))):
        found = program.logits(variables, meshes.to_devices({"clip": clips}, program.mesh)["clip"])
        assert found.is_fully_replicated
        outputs.append(np.asarray(found))
    assert outputs[0].std() > 0.01
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)


@pytest.mark.fast_cases("small")
@either_network
def test_a_fresh_state_is_split_and_the_same_on_any_mesh(model: str) -> None:
    program = make_program(RECIPES[model](), (2, 4, 1))
    state = first_state(model)
    assert jax.tree.map(lambda leaf: leaf.sharding, state) == program.state_sharding
    chex.assert_trees_all_equal(state.ema, state.params)
    # One parameter alone compiles fast.
    key, _ = jax.random.split(jax.random.key(program.config.seed))
    variables = jax.jit(lambda key: program.traced.init(key)["params"]["head"])(key)
    np.testing.assert_allclose(state.params["head"]["kernel"], variables["kernel"], rtol=1e-6)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_abstract_states_and_batches_are_those_of_training(accumulation: int) -> None:
    config = small_recipe()
    config.accumulation = accumulation
    program = make_program(config, (2, 2, 2))
    batch = program.to_devices(host_batch(0))
    assert {name: (leaf.shape, leaf.dtype, leaf.sharding) for name, leaf in batch.items()} == {
        name: (leaf.shape, leaf.dtype, leaf.sharding) for name, leaf in program.abstract_batch().items()
    }
    expected = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), first_state("small"))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), program.abstract_state()) == expected


@pytest.mark.slow
def test_still_frames_of_a_bank_reach_the_parts_of_a_step_on_every_mesh(tmp_path: pathlib.Path) -> None:
    config = small_recipe()
    config.accumulation = 2
    config.augmentation.still, config.augmentation.still_bank = "bank", str(tmp_path / "bank.npz")
    write_still_bank(tmp_path / "bank.npz", np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8))
    losses = []
    for shape in ((1, 1, 1), (2, 2, 1)):
        program = make_program(config, shape)
        batch = program.to_devices(host_batch(0))
        assert {name: (leaf.shape, leaf.dtype, leaf.sharding) for name, leaf in batch.items()} == {
            name: (leaf.shape, leaf.dtype, leaf.sharding) for name, leaf in program.abstract_batch().items()
        }
        for bank in (batch["stills"], batch["stills"], jnp.zeros_like(batch["stills"])):
            _, metrics = program.step(start(program), batch | {"stills": bank})
            losses.append(float(metrics["loss"]))
    same, again, other = losses[:3]
    assert same == again != other
    np.testing.assert_allclose(losses[3:], losses[:3], rtol=1e-4)


@pytest.mark.slow
def test_a_step_in_bfloat16_keeps_its_state_and_its_loss_in_float32() -> None:
    program = make_program(residual_recipe(dtype="bfloat16", batch_norm_groups=2))
    state, metrics = program.step(start(program), program.to_devices(host_batch(0)))
    kept = jax.tree.leaves((state.params, state.batch_stats, state.opt_state, state.ema, metrics))
    assert {leaf.dtype.name for leaf in kept} == {"float32", "int32"}  # int32: the optimizer's count of steps
    assert "bf16" in program.step.lower(program.abstract_state(), program.abstract_batch()).as_text()
    np.testing.assert_allclose(metrics["loss"], train_residual_network().losses[0], rtol=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 12}, r"batch_size is 12.*8 devices.*such as 16"),
        ({"accumulation": 2}, r"batch_size is 8.*8 devices x 2 parts \(accumulation\).*such as 16"),
        ({"augmentation.mixup": 0.8}, r"8 clips on 8 devices do not give each of them two clips.*such as 16"),
        ({"model.options.batch_norm_groups": 3}, r"batch_norm_groups is 3, but must divide the 8 clips"),
        ({"ema": (("hed/.*", 0.9),)}, r"ema: the pattern 'hed/\.\*' matches no parameter.*head/"),
        ({"optimizer.frozen": ((".*", True),)}, "leaves no parameter to train"),
    ],
)
def test_a_recipe_that_does_not_fit_the_devices_or_the_model_is_refused(
    changes: dict[str, object], message: str
) -> None:
    config = make_recipe()
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message):
        make_program(config, (8, 1, 1))


def test_batch_norms_that_the_model_freezes_are_not_decayed() -> None:
    config = make_recipe()
    config.model.name, config.sharding_rules, config.data.frames = "resnet18_tiny", (), 2
    config.model.options = {
        **{
            "widths": (8, 8, 8, 8),
            "depths": (1, 1, 1, 1),
            "motion_module": "tea",
            "frozen_batch_norm": "all_but_first",
        },
        "input_adapter": "motion_prompt",
    }
    settings = config.optimizer
    # What the model freezes stays frozen, also where the recipe says nothing of it or the contrary.
    settings.name, settings.frozen = "sgd", ((r".*/stage1/.*/norm1/.*", False),)
    settings.weight_decay, settings.decay_mask = 0.5, ((".*", True),)
    program = make_program(config)
    before = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), program.state_shapes.params)

    @jax.jit
    def after_step(params: optax.Params) -> optax.Params:
        # The gradient of frozen ones is zero, and weight decay alone moves the others.
        gradients = jax.tree.map(jnp.zeros_like, params)
        updates, _ = program.optimizer.update(gradients, program.optimizer.init(params), params)
        return optax.apply_updates(params, updates)

    moved = jax.tree.map(lambda new: bool((np.asarray(new) != 1).all()), after_step(before))
    for path, is_moved in traverse_util.flatten_dict(moved, sep="/").items():
        is_frozen = "norm" in path and "/motion/" not in path and "/stem/" not in path
        assert is_moved == (not is_frozen), path


def test_clips_whose_frames_cannot_be_split_are_refused() -> None:
    with pytest.raises(UserError, match=r"frames of clips over 8 devices, which do not divide data.frames = 4"):
        make_program(make_recipe(), (1, 1, 8))


@pytest.mark.parametrize("option", ["cost_volume_implementation", "attention_implementation"])
def test_kernels_that_need_whole_clips_are_refused_where_frames_are_split(option: str) -> None:
    recipe = make_recipe(**{option: "pallas"})
    make_program(recipe, (8, 1, 1))
    with pytest.raises(UserError, match=rf"{option} is 'pallas', .* frames over 4 devices. Set mesh.frames = 1"):
        make_program(recipe, (2, 1, 4))
