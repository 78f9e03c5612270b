"""Compares models by what they cost: parameters, multiply-adds, clips a second here, and memory on an absent device.

    python benchmarks/model_choice.py                                         # a choice of models, time alone
    python benchmarks/model_choice.py --models x3d_m,video_swin_t --topology v5e:2x2

Time is of a forward pass of one clip, in float32, on the devices of this machine. It is the median of a few passes
after the first, with the range. Beside it stands the processor time of all threads, which other work touches least.
Memory is what the compiler plans for a training pass of some clips in bfloat16 on one device of the topology, besides
parameters and inputs; it needs the extra `tpu` or `gpu`, and no such device.
"""

import argparse
import statistics
import time
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from absent_device import compile_for

import motion_vit
from motion_vit.models.inspection import measure_costs
from motion_vit.models.video_model import VideoModel
from motion_vit.ops.platform import Platform, target_platform
from motion_vit.training.ahead_of_time.topology import topology_devices

MODELS = (
    *("mobilenetv2_tsn", "mobilenetv2_m2a", "x3d_s", "x3d_m", "resnet18_tsn", "resnet18_m2a", "i3d_resnet18_m2a"),
    *("r2plus1d_18", "slowfast_4x16_r50", "i3d_inception_16", "uniformer_s", "uniformer_emim_s", "mvit_v2_s"),
    *("video_swin_t", "timesformer_b", "videomae_s", "videomae_b", "vivit_b_factorised"),
)
"""The models that are compared where none are named."""


class Pace(NamedTuple):
    """Seconds that passes of one clip take: on the clock each, and of the processor the median."""

    seconds: list[float]
    processor: float

    def __str__(self) -> str:
        """Writes clips a second with their range, and seconds of the processor."""
        median, slowest, fastest = (1 / each(self.seconds) for each in (statistics.median, max, min))
        return f"{median:.2f} ({slowest:.2f} to {fastest:.2f}) | {self.processor:.2f}"


def measure_pace(model: VideoModel, repeats: int) -> Pace:
    """Measures forward passes of one clip.

    Args:
      model: whose passes are timed, of its own clips.
      repeats: passes that are timed.

    Returns:
      Their times.
    """
    clips = jax.random.normal(jax.random.key(0), (1, *model.clip_shape))
    variables = jax.jit(model.init)(jax.random.key(1), clips)
    run: Any = jax.jit(model.apply)
    jax.block_until_ready(run(variables, clips))
    clock, processor = [], []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        jax.block_until_ready(run(variables, clips))
        clock.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    return Pace(clock, statistics.median(processor))


def training_megabytes(model: VideoModel, topology: str, batch: int) -> float:
    """Compiles a training pass for one absent device.

    Args:
      model: the model, in the dtype of the pass.
      topology: see `motion_vit.training.ahead_of_time.topology.topology_devices`.
      batch: clips.

    Returns:
      Memory besides inputs and outputs, in MB.
    """
    clips = jax.ShapeDtypeStruct((batch, *model.clip_shape), jnp.bfloat16)
    labels = jax.ShapeDtypeStruct((batch,), jnp.int32)

    def train_pass(variables: Any, clips: jax.Array, labels: jax.Array, key: jax.Array) -> Any:
        state = {name: value for name, value in variables.items() if name != "params"}

        def loss(params: Any) -> tuple[jax.Array, Any]:
            logits, updates = model.apply(
                {"params": params, **state}, clips, train=True, mutable=list(state), rngs={"dropout": key}
            )
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), updates

        return jax.value_and_grad(loss, has_aux=True)(variables["params"])

    with target_platform(cast(Platform, topology_devices(topology)[0].platform)):
        variables = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros(clips.shape[1:])[None]))
    key = jax.eval_shape(lambda: jax.random.key(0))
    compiled = compile_for(topology, train_pass, (variables, clips, labels, key))
    return compiled.temporary_bytes / 1e6


def main() -> None:
    """Reads the command line and prints a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="names with commas")
    parser.add_argument("--classes", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5, help="timed passes of each; 0 leaves the time out")
    parser.add_argument("--topology", default="", help="absent devices, such as v5e:2x2 or h100:1")
    parser.add_argument("--batch", type=int, default=8, help="clips of a training pass on the absent device")
    options = parser.parse_args()
    print("| model | frames x pixels | parameters | GMACs | clips/s | processor s | training pass, MB |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for name in options.models.split(","):
        model = motion_vit.create_model(name, num_classes=options.classes)
        costs = measure_costs(model).values()
        parameters = sum(cost.parameters for cost in costs) / 1e6
        multiply_adds = sum(cost.multiply_adds for cost in costs) / 1e9
        pace, memory = " | ", ""
        if options.repeats:
            pace = str(measure_pace(model, options.repeats))
        if options.topology:
            trained = motion_vit.create_model(name, num_classes=options.classes, dtype="bfloat16")
            memory = f"{training_megabytes(trained, options.topology, options.batch):.0f}"
        frames, size = model.clip_shape[:2]
        print(
            f"| `{name}` | {frames} x {size} | {parameters:.1f} M | {multiply_adds:.1f} | {pace} | {memory} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
