"""Compiles the parts of UniFormer-S for absent TPUs and GPUs, and reports the costs of a training pass.

    python benchmarks/ahead_of_time.py                             # every part, TPU v5e
    python benchmarks/ahead_of_time.py --topology v5p:1x1x1 --part emim --implementation all
    python benchmarks/ahead_of_time.py --implementation pallas     # the kernels
    JAX_PLATFORMS=cpu python benchmarks/ahead_of_time.py --topology h200:1

Needs the extra `tpu` and no TPU, or the extra `gpu` and no GPU. By default: one device, bfloat16, 8 clips of 16 frames,
forward and backward. Bytes, arithmetic and memory are the compiler's own figures for its program. They are the same on
every machine, so that they show every change of a part. Arithmetic inside of kernels and libraries (Pallas, cuBLAS,
cuDNN) is not counted. `floor` reads the part's input and the output's gradient, and writes the output and the input's
gradient, once each. Compile times are of this machine. `motion-vit inspect RECIPE --topology v5e:4x4` reports the whole
training step, on as many devices as a topology has.
"""

import argparse
import dataclasses
import json
import math
import pathlib
from collections.abc import Iterator
from typing import Any, cast

import jax
import jax.numpy as jnp
from absent_device import compile_for
from flax import linen as nn

from motion_vit.modules.attention_block import AttentionBlock
from motion_vit.modules.convolution_block import ConvolutionBlock
from motion_vit.modules.emim import Emim
from motion_vit.modules.global_attention import GlobalAttention
from motion_vit.ops import cost_volume, global_attention
from motion_vit.ops.platform import Platform, target_platform
from motion_vit.training.ahead_of_time.topology import topology_devices

# Rows and columns of tokens, and their channels, at each stage of UniFormer-S and -B at 224 x 224 pixels.
STAGES = {1: (56, 64), 2: (28, 128), 3: (14, 320), 4: (7, 512)}
HEAD_CHANNELS = 64


@dataclasses.dataclass(frozen=True)
class PartCosts:
    """Costs of one forward and backward pass of a part on one device.

    Attributes:
      gigabytes: bytes that the program reads and writes, in GB.
      floor_gigabytes: size of input, output and their gradients.
      temporary_megabytes: memory besides inputs and outputs.
      teraflops: floating-point operations of matrix products and convolutions, in TFLOP.
      compile_seconds: compile time on this machine.
    """

    gigabytes: float
    floor_gigabytes: float
    temporary_megabytes: float
    teraflops: float
    compile_seconds: float


def parts(implementation: str | None = None) -> Iterator[tuple[str, nn.Module, int, int]]:
    """Yields the parts of the network.

    Args:
      implementation: of cost-volume attention or global attention, for the parts whose operator has it; None takes the
        device's default, and every part.

    Yields:
      Name, module, side of its square of tokens, channels.
    """
    for stage in (3, 4):
        side, channels = STAGES[stage]
        if implementation in (None, *cost_volume.IMPLEMENTATIONS):
            emim = Emim(channels // HEAD_CHANNELS, dtype=jnp.bfloat16, implementation=implementation)
            yield f"emim stage {stage}", emim, side, channels
        if implementation in (None, *global_attention.IMPLEMENTATIONS):
            attention = GlobalAttention(channels // HEAD_CHANNELS, dtype=jnp.bfloat16, implementation=implementation)
            yield f"global attention stage {stage}", attention, side, channels
            yield f"attention block stage {stage}", AttentionBlock(attention, dtype=jnp.bfloat16), side, channels
    for stage in (1, 2) if implementation is None else ():
        yield f"convolution block stage {stage}", ConvolutionBlock(dtype=jnp.bfloat16), *STAGES[stage]


def compile_part(
    module: nn.Module, shape: tuple[int, int, int, int, int], topology: str
) -> tuple[PartCosts, jax.stages.Compiled]:
    """Compiles a training pass of a part for one device.

    Args:
      module: a layer from tokens `[b, t, h, w, c]` to the same.
      shape: of the tokens.
      topology: see `topology_devices`; the pass is compiled for its first device.

    Returns:
      The costs of the pass, and the program.
    """
    tokens = jax.ShapeDtypeStruct(shape, jnp.bfloat16)

    def train_pass(variables: Any, x: jax.Array, gradient: jax.Array) -> Any:
        state = {name: value for name, value in variables.items() if name != "params"}

        def apply(params: Any, x: jax.Array) -> tuple[jax.Array, Any]:
            return module.apply({"params": params, **state}, x, train=True, mutable=list(state))

        output, pullback, updates = jax.vjp(apply, variables["params"], x, has_aux=True)
        return output, pullback(gradient.astype(output.dtype)), updates

    with target_platform(cast(Platform, topology_devices(topology)[0].platform)):
        variables = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros(shape, jnp.bfloat16), train=False))
    compiled = compile_for(topology, train_pass, (variables, tokens, tokens))
    found = PartCosts(
        gigabytes=compiled.costs.bytes_accessed / 1e9,
        floor_gigabytes=4 * math.prod(shape) * tokens.dtype.itemsize / 1e9,
        temporary_megabytes=compiled.temporary_bytes / 1e6,
        teraflops=compiled.costs.flops / 1e12,
        compile_seconds=compiled.compile_seconds,
    )
    return found, compiled.program


def main() -> None:
    """Reads the command line, compiles, prints a table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topology", default="v5e:2x2", help="a TPU slice, or GPUs; one device is compiled for")
    parser.add_argument("--part", default="", help="only parts whose name begins so, such as emim")
    parser.add_argument(
        "--implementation", default="", help="of attention: names with commas, or all of cost-volume attention"
    )
    parser.add_argument("--batch", type=int, default=8, help="clips")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--json", type=pathlib.Path, help="where to write all numbers")
    options = parser.parse_args()
    device = topology_devices(options.topology)[0]
    jax.config.update("jax_enable_compilation_cache", False)  # compile times are measured
    clips = f"{options.batch} clips of {options.frames} frames"
    print(f"{device.device_kind}, one device, {clips}, bfloat16, jax {jax.__version__}\n")
    print("| part | GB accessed | floor GB | temporary MB | TFLOP | compile s |\n|---|---:|---:|---:|---:|---:|")
    chosen = cost_volume.IMPLEMENTATIONS if options.implementation == "all" else options.implementation.split(",")
    report = {}
    for implementation in chosen:
        for name, module, side, channels in parts(implementation or None):
            if not name.startswith(options.part):
                continue
            label = f"{name}, {side} x {side} x {channels}" + (f", {implementation}" if implementation else "")
            costs, _ = compile_part(module, (options.batch, options.frames, side, side, channels), options.topology)
            report[label] = dataclasses.asdict(costs)
            print(
                f"| {label} | {costs.gigabytes:.2f} | {costs.floor_gigabytes:.2f} | {costs.temporary_megabytes:.0f} | "
                f"{costs.teraflops:.3f} | {costs.compile_seconds:.1f} |",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
