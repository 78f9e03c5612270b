"""Costs of programs: against arithmetic done by hand, and against XLA's own analysis where that counts everything."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from motion_vit.training.ahead_of_time.collectives import Collective
from motion_vit.training.ahead_of_time.compiled_program import parse_program
from motion_vit.training.ahead_of_time.program_costs import program_costs

# As the TPU compiler writes them: a gather that runs beside two products appears in the fusion that starts it and in
# each that carries a part of it; a scatter of sums is a sum of all of which a part is kept.
TPU_COLLECTIVES = """\
HloModule step, is_scheduled=true

%add (x: bf16[], y: bf16[]) -> bf16[] {
  %x = bf16[] parameter(0)
  %y = bf16[] parameter(1)
  ROOT %sum = bf16[] add(%x, %y)
}

%start_gather (a: bf16[512,2048]) -> (bf16[512,2048], bf16[2048,2048]) {
  %a = PART parameter(0)
  %gather.1 = WHOLE all-gather(%a), channel_id=14, GROUPS_OF_4, dimensions={0}
  ROOT %pair = (PART, WHOLE) tuple(%a, %gather.1)
}

%carry_gather (b: bf16[512,2048]) -> bf16[2048,2048] {
  %b = PART parameter(0)
  ROOT %gather.2 = WHOLE all-gather(%b), channel_id=14, GROUPS_OF_4, dimensions={0}
}

%all-reduce-scatter.1 (c: bf16[2048,2048]) -> bf16[512,2048] {
  %c = WHOLE parameter(0)
  %reduced = WHOLE all-reduce(%c), channel_id=6, replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
  %zero = s32[] constant(0)
  ROOT %part = PART dynamic-slice(%reduced, %zero, %zero), dynamic_slice_sizes={512,2048}
}

ENTRY %main (p: bf16[512,2048]) -> bf16[512,2048] {
  %p = PART parameter(0)
  %started = (PART, WHOLE) fusion(%p), kind=kCustom, calls=%start_gather
  %carried = WHOLE fusion(%p), kind=kOutput, calls=%carry_gather
  %part = PART fusion(%carried), kind=kCustom, calls=%all-reduce-scatter.1
  %send = (PART, PART, u32[]) collective-permute-start(%part), channel_id=1, source_target_pairs={{0,1},{1,0}}
  ROOT %received = PART collective-permute-done(%send)
}
"""
for short, long in (
    ("PART", "bf16[512,2048]{1,0:T(8,128)(2,1)}"),
    ("WHOLE", "bf16[2048,2048]{1,0:T(8,128)(2,1)}"),
    ("GROUPS_OF_4", "replica_groups=mesh['axis_0'=4,'axis_1'=2], device_ids=([2,4]T(1,0)) {'axis_0'}"),
):
    TPU_COLLECTIVES = TPU_COLLECTIVES.replace(short, long)

CONVOLUTION = """\
ENTRY %main (x: f32[{0}], k: f32[{1}]) -> f32[{2}] {{
  %x = f32[{0}] parameter(0)
  %k = f32[{1}] parameter(1)
  ROOT %y = f32[{2}] convolution(%x, %k), window={{{window}
}}
"""


def compile_text(function, *arguments):
    return jax.jit(function).lower(*arguments).compile().as_text()


def costs_of(function, *arguments):
    return program_costs(parse_program(compile_text(function, *arguments)), 1)


def test_products_in_a_loop_count_as_often_as_it_runs():
    x, weights = jnp.ones((16, 64)), jnp.ones((9, 64, 64))
    looped = costs_of(lambda x, weights: jax.lax.scan(lambda x, w: (jnp.sin(x @ w), None), x, weights)[0], x, weights)
    assert looped.flops == 9 * 2 * 16 * 64 * 64
    assert looped.unknown_loops == 0
    # Every round reads its own weights, not those of all rounds.
    assert 64 * 64 * 4 < looped.bytes_accessed / 9 < 9 * 64 * 64 * 4 / 2


def test_batched_products_count_every_axis_once():
    left, right = jnp.ones((3, 5, 7, 11)), jnp.ones((3, 5, 11, 13))
    assert costs_of(jnp.matmul, left, right).flops == 2 * 3 * 5 * 7 * 11 * 13


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize(("stride", "padding"), [(1, "SAME"), (1, "VALID"), (2, "SAME")])
def test_convolutions_count_taps_inside_the_image(groups, stride, padding):
    x, kernel = np.ones((2, 9, 10, 8), np.float32), np.ones((3, 5, 8 // groups, 12), np.float32)

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
        )

    # Each product with a tap inside the image is 1 here, so that the sum of the output counts them.
    output = convolve(x, kernel)
    pads = jax.lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], (stride, stride), padding)
    window = (
        f"size=3x5 stride={stride}x{stride} pad={pads[0][0]}_{pads[0][1]}x{pads[1][0]}_{pads[1][1]}, "
        f"dim_labels=b01f_01io->b01f, feature_group_count={groups}"
    ).replace(", ", "}, ", 1)
    shapes = [",".join(map(str, array.shape)) for array in (x, kernel, output)]
    text = CONVOLUTION.format(*shapes, window=window)
    assert program_costs(parse_program(text), 1).flops == 2 * float(jnp.sum(output))


def test_programs_without_loops_access_what_xla_says():
    def network(x, first, second):
        return jax.grad(lambda first: jnp.sum(jax.nn.relu(x @ first) @ second))(first)

    arguments = jnp.ones((256, 128)), jnp.ones((128, 512)), jnp.ones((512, 64))
    compiled = jax.jit(network).lower(*arguments).compile()
    analysis = compiled.cost_analysis()
    costs = program_costs(parse_program(compiled.as_text()), 1)
    assert costs.bytes_accessed == pytest.approx(analysis["bytes accessed"], rel=0.05)
    assert costs.main_memory_bytes == costs.bytes_accessed
    assert costs.flops == pytest.approx(analysis["flops"], rel=0.05)


def test_collectives_of_a_loop_count_as_often_as_it_runs():
    mesh = jax.make_mesh((2, 4), ("a", "b"), axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:8])

    def sum_over_b(x):
        return jax.lax.fori_loop(0, 6, lambda _, x: jax.lax.pcast(jax.lax.psum(x, "b"), "b", to="varying") / 4, x)

    split = PartitionSpec("a", "b")
    function = jax.shard_map(sum_over_b, mesh=mesh, in_specs=split, out_specs=split)
    x = jax.ShapeDtypeStruct((16, 32), jnp.float32, sharding=NamedSharding(mesh, split))
    costs = program_costs(parse_program(compile_text(function, x)), 8)
    size = (16 // 2) * (32 // 4) * 4
    assert costs.collectives == (Collective("all-reduce", 6, 6 * size, 6 * size * 3 // 2),)


def test_what_the_tpu_compiler_writes_several_times_counts_once():
    costs = program_costs(parse_program(TPU_COLLECTIVES), 8)
    whole, part = 2048 * 2048 * 2, 512 * 2048 * 2
    by_kind = {one.kind: one for one in costs.collectives}
    assert by_kind == {
        "all-gather": Collective("all-gather", 1, whole, whole * 3 // 4),
        "reduce-scatter": Collective("reduce-scatter", 1, whole, whole * 3 // 4),
        "collective-permute": Collective("collective-permute", 1, part, part),
    }


# As the GPU compiler writes them: one reduction makes two sums in a fusion that returns a third array.
SUMS_IN_A_FUSION = """
HloModule sums

%add_both (a: f32[], b: f32[], c: f32[], d: f32[]) -> (f32[], f32[]) {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  %c = f32[] parameter(2)
  %d = f32[] parameter(3)
  %first = f32[] add(%a, %c)
  %second = f32[] add(%b, %d)
  ROOT %both = (f32[], f32[]) tuple(%first, %second)
}

%body (x: f32[64,32], y: f32[64,32], zero: f32[]) -> ((f32[32], f32[32]), f32[64,32]) {
  %x = f32[64,32]{1,0} parameter(0)
  %y = f32[64,32]{1,0} parameter(1)
  %zero = f32[] parameter(2)
  %sums = (f32[32]{0}, f32[32]{0}) reduce(%x, %y, %zero, %zero), dimensions={0}, to_apply=%add_both
  %product = f32[64,32]{1,0} multiply(%x, %y)
  ROOT %all = ((f32[32]{0}, f32[32]{0}), f32[64,32]{1,0}) tuple(%sums, %product)
}

ENTRY %main (x: f32[64,32], y: f32[64,32], zero: f32[]) -> ((f32[32], f32[32]), f32[64,32]) {
  %x = f32[64,32]{1,0} parameter(0)
  %y = f32[64,32]{1,0} parameter(1)
  %zero = f32[] parameter(2)
  ROOT %fusion = ((f32[32]{0}, f32[32]{0}), f32[64,32]{1,0}) fusion(%x, %y, %zero), kind=kInput, calls=%body
}
"""


def test_a_fusion_writes_all_that_a_reduction_of_several_arrays_makes():
    costs = program_costs(parse_program(SUMS_IN_A_FUSION), 1)
    read, written = 2 * 64 * 32 + 1, 2 * 32 + 64 * 32
    assert costs.bytes_accessed == 4 * (read + written)
