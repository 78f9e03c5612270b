"""Parameters that are split over devices are whole where they are read, and of no more blocks than are at work."""

import dataclasses
import functools
import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import NamedSharding, PartitionSpec

from motion_vit.models.checked_model import trace_model
from motion_vit.models.registry import create_model
from motion_vit.models.rematerialization import Remat
from motion_vit.models.stage import Stage
from motion_vit.models.video_model import Backbone
from motion_vit.modules.linear import Linear
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.losses.cross_entropy import cross_entropy
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.step.sharding import state_sharding
from motion_vit.training.step.split_parameters import SplitParameter, gathered_where_read
from motion_vit.training.step.state import TrainState, initial_state
from motion_vit.training.step.train_step import StepSettings, make_train_step

SHAPE = (2, 8, 8, 3)
NORMALIZATION = Normalization((0.45, 0.4, 0.5), (0.2, 0.25, 0.3))
SETTINGS = StepSettings(
    optax.sgd(1e-3, momentum=0.9), optax.schedules.constant_schedule(1e-3), NORMALIZATION, cross_entropy(())
)
WIDTH, HIDDEN, DEPTH = 64, 256, 6
DEVICES = 8
KERNEL = WIDTH * HIDDEN * 4
"""Bytes of a kernel, two of which are in a block: the smallest that is split."""
ALL_KERNELS = DEPTH * 2 * KERNEL

FEWER_OPTIMISATIONS = {"xla_backend_optimization_level": 0}
"""Of LLVM's, on which none of this depends."""


class Block(nn.Module):
    """A residual perceptron."""

    @nn.compact
    def __call__(self, x: jax.Array, rate: Any = 0.0, *, train: bool = False) -> jax.Array:
        hidden = jnp.tanh(Linear(HIDDEN, nn.initializers.normal(0.1), name="up")(x))
        return x + Linear(WIDTH, nn.initializers.normal(0.1), name="down")(hidden)


class Deep(Backbone):
    """Blocks in a stage, before and after which there is hardly anything."""

    num_classes: int = 5
    remat: Remat = "blocks"
    scan_blocks: bool = False

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        x = Linear(WIDTH, name="embedding")(clips.mean(axis=(2, 3)))
        stage = Stage(
            lambda index, **binding: Block(**binding),
            (0.0,) * DEPTH,
            scan_blocks=self.scan_blocks,
            remat=self.remat,
            name="blocks",
        )
        return Linear(self.num_classes, name="head")(stage(x, train=train).mean(axis=1))


class LiftedLoop(Backbone):
    """The same blocks by Flax's own loop, which keeps their parameters stacked, as a model from outside may."""

    num_classes: int = 5

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        x = Linear(WIDTH, name="embedding")(clips.mean(axis=(2, 3)))
        loop = nn.scan(
            nn.remat(lambda block, x: (block(x), None)),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=DEPTH,
        )
        x, _ = loop(Block(name="blocks"), x)
        return Linear(self.num_classes, name="head")(x.mean(axis=1))


LOOP, NO_LOOP, LIFTED_LOOP = Deep(scan_blocks=True), Deep(remat="matmuls"), LiftedLoop()


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A step on some devices with what it takes."""

    step: jax.stages.Compiled
    state: TrainState
    sharding: TrainState
    batch: dict[str, jax.Array]

    def gathers(self) -> list[int]:
        """Bytes of what each gather of the program makes."""
        found = re.findall(r"= f32\[([\d,]+)\]\S* all-gather\(", self.step.as_text() or "")
        return [4 * math.prod(int(side) for side in shape.split(",")) for shape in found]


@functools.cache
def compiled(model: Backbone, devices: int, **options: str) -> Compiled:
    mesh = meshes.make_mesh(fsdp=devices, devices=jax.devices()[:devices])
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: np.asarray(0.1 * rng.standard_normal(leaf.shape), leaf.dtype),
        trace_model(model, clip_shape=SHAPE).shapes,
    )
    start = jax.jit(lambda variables, key: initial_state(variables, SETTINGS.optimizer, key))
    state: TrainState = start(variables, jax.random.key(1))
    sharding = state_sharding(state, SETTINGS.optimizer, ((".*", "fsdp"),), mesh)
    host_batch = {
        "clip": rng.integers(0, 256, (16, *SHAPE), dtype=np.uint8),
        "label": rng.integers(0, 5, 16, dtype=np.int32),
        "weight": np.ones(16, np.float32),
    }
    state, batch = jax.device_put(state, sharding), meshes.to_devices(host_batch, mesh)
    lowered = make_train_step(model, SETTINGS, sharding, mesh).lower(state, batch)
    return Compiled(lowered.compile({**FEWER_OPTIMISATIONS, **options}), state, sharding, batch)


@pytest.mark.slow
@pytest.mark.parametrize("model", [LOOP, LIFTED_LOOP], ids=["loop of a stage", "loop of Flax"])
def test_in_a_loop_no_more_than_the_block_at_work_is_whole(model: Backbone) -> None:
    on_eight = compiled(model, DEVICES)
    # Each kernel of a block where it runs, and once more in the backward pass; none of a whole stack.
    assert on_eight.gathers() == [KERNEL] * 4
    # A stack of the parts of this device, that of their gradients, and of one block all kernels and gradients. Were
    # they gathered at the start of the step, 32 kernels were held, of which there are 12.
    assert on_eight.step.memory_analysis().temp_size_in_bytes < ALL_KERNELS


def test_without_a_loop_each_kernel_is_gathered_in_its_block_and_again_in_the_backward_pass() -> None:
    assert compiled(NO_LOOP, DEVICES).gathers() == [KERNEL] * (2 * 2 * DEPTH)


@pytest.mark.fast_cases("no loop")
@pytest.mark.parametrize("model", [LOOP, NO_LOOP, LIFTED_LOOP], ids=["loop of a stage", "no loop", "loop of Flax"])
def test_steps_on_eight_devices_equal_those_on_one(model: Backbone) -> None:
    found = []
    for devices in (1, DEVICES):
        run = compiled(model, devices)
        # A step gives up the memory of its state, which other tests take, too.
        start = jax.device_get(dataclasses.replace(run.state, key=jax.random.clone(run.state.key)))
        state, metrics = jax.device_put(start, run.sharding, may_alias=False), []
        for _ in range(3):
            state, of_step = run.step(state, run.batch)
            metrics.append([float(of_step[name]) for name in ("loss", "grad_norm")])
        found.append(np.array(metrics))
    assert found[0][-1, 0] < found[0][0, 0]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


def test_the_runtime_of_cpu_does_not_start_collectives_in_and_beside_a_loop_at_once() -> None:
    concurrent = compiled(LOOP, DEVICES, xla_cpu_scheduler_type="CPU_SCHEDULER_TYPE_CONCURRENCY_OPTIMIZED")
    saving = compiled(LOOP, DEVICES, xla_cpu_scheduler_type="CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED")
    memory = [run.step.memory_analysis().temp_size_in_bytes for run in (compiled(LOOP, DEVICES), saving, concurrent)]
    assert memory[0] == memory[1] != memory[2]


@pytest.mark.parametrize(("axis", "split"), [(0, 2), (1, 2), (2, 1), (3, 1)])
def test_a_box_follows_the_axes_of_its_parameter(axis: int, split: int) -> None:
    mesh = meshes.make_mesh(data=2, fsdp=4)
    box = SplitParameter(jnp.zeros((3, 8, 5)), NamedSharding(mesh, PartitionSpec(None, "fsdp")))
    stacked = box.add_axis(axis, {})
    assert stacked.sharding.spec.index("fsdp") == split
    assert stacked.remove_axis(axis, {}).sharding.spec.index("fsdp") == 1
    # The parts along the split axis are whole.
    assert "fsdp" not in stacked.remove_axis(split, {}).sharding.spec


def test_a_linear_layer_in_bfloat16_gathers_its_kernel_in_bfloat16() -> None:
    mesh = meshes.make_mesh(fsdp=DEVICES)
    params = {"kernel": jnp.zeros((8, 16)), "bias": jnp.zeros(16)}
    sharding = {"kernel": NamedSharding(mesh, PartitionSpec(None, "fsdp")), "bias": meshes.replicated(mesh)}
    layer = Linear(16, dtype=jnp.bfloat16)

    def apply(params: Any) -> jax.Array:
        return layer.apply({"params": gathered_where_read(params, sharding)}, jnp.zeros((2, 8)))

    program = jax.make_jaxpr(apply)(params)
    moved = [eqn.invars[0].aval for eqn in program.eqns if eqn.primitive.name == "sharding_constraint"]
    assert [(leaf.shape, leaf.dtype.name) for leaf in moved] == [((8, 16), "bfloat16")] * 2


@pytest.mark.fast_cases("timesformer_tiny-*", "videomae_tiny-*", "vivit_tiny-*", "r2plus1d_tiny-*")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("uniformer_emim_tiny", {"motion_module": "tea", "depths": (1, 1, 1, 1)}),
        ("timesformer_tiny", {"motion_module": "m2a"}),
        ("mvit_v2_tiny", {"motion_module": "tea"}),
        ("videomae_tiny", {"placement": "lg", "positions": "learned", "layer_scale": 0.1}),
        ("video_swin_tiny", {"placement": "stage2", "motion_module": "m2a"}),
        ("vivit_tiny", {"attention": "factorised_encoder", "placement": "lg"}),
        ("resnet18_tiny", {"motion_module": "tdn+tam", "image_size": 64}),
        ("slowfast_tiny", {"motion_module": "m2a"}),
        ("i3d_inception_tiny", {"motion_module": "m2a"}),
        ("x3d_tiny", {"motion_module": "m2a"}),
        ("mobilenetv2_tiny", {"motion_module": "m2a", "temporal_shift": True}),
        ("r2plus1d_tiny", {"motion_module": "m2a"}),
    ],
)
def test_layers_open_all_boxes_in_which_they_find_parameters(name: str, options: dict[str, Any]) -> None:
    model = create_model(name, **{"num_classes": 3, "frames": 4, "image_size": 32, **options})
    variables = trace_model(model).shapes
    whole = meshes.replicated(meshes.data_mesh())

    def apply(variables: dict[str, Any]) -> jax.Array:
        boxed = jax.tree.map(lambda leaf: SplitParameter(leaf, whole), variables["params"])
        return model.apply({**variables, "params": boxed}, jnp.zeros((1, *model.clip_shape)))

    assert jax.eval_shape(apply, variables).shape == (1, 3)
