"""The parser of compiled programs, on programs written by hand and on what JAX makes of loops."""

import jax
import jax.numpy as jnp
import pytest

from motion_vit.training.ahead_of_time.compiled_program import array_types, parse_program

# As the TPU compiler writes `lax.scan`: the condition reads the limit as a constant (inner loop) or from the loop's
# tuple (outer loop). The body of the last loop counts down, which `lax.scan` never does.
LOOPS = """\
HloModule jit_f, is_scheduled=true

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[]{:T(256)} parameter(0)
  %y = f32[]{:T(256)} parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

%inner_body (a: (s32[], f32[8])) -> (s32[], f32[8]) {
  %a = (s32[], f32[8]{0}) parameter(0)
  %i = s32[] get-tuple-element(%a), index=0
  %v = f32[8]{0} get-tuple-element(%a), index=1
  ROOT %next = (s32[], f32[8]{0}) tuple(%i, /*index=1*/%v)
}

%inner_condition (b: (s32[], f32[8])) -> pred[] {
  %limit = s32[]{:T(128)} constant(12)
  %b = (s32[], f32[8]{0}) parameter(0)
  %j = s32[] get-tuple-element(%b), index=0
  ROOT %less = pred[] compare(%j, %limit), direction=LT, metadata={op_name="jit(f)/while/cond/lt"}
}

%outer_body (c: (s32[], f32[8], s32[])) -> (s32[], f32[8], s32[]) {
  %c = (s32[], f32[8]{0}, s32[]) parameter(0)
  %k = s32[] get-tuple-element(%c), index=0
  %w = f32[8]{0} get-tuple-element(%c), index=1
  %n = s32[] get-tuple-element(%c), index=2
  %zero.1 = s32[] constant(0)
  %start = (s32[], f32[8]{0}) tuple(%zero.1, %w)
  %inner = (s32[], f32[8]{0}) while(%start), condition=%inner_condition, body=%inner_body
  %u = f32[8]{0} get-tuple-element(%inner), index=1
  ROOT %again = (s32[], f32[8]{0}, s32[]) tuple(%k, %u, %n)
}

%outer_condition (d: (s32[], f32[8], s32[])) -> pred[] {
  %d = (s32[], f32[8]{0}, s32[]) parameter(0)
  %l = s32[] get-tuple-element(%d), index=0
  %m = s32[] get-tuple-element(%d), index=2
  ROOT %below = pred[] compare(%l, %m), direction=LT
}

%down_condition (e: (s32[], f32[8])) -> pred[] {
  %none = s32[] constant(0)
  %e = (s32[], f32[8]{0}) parameter(0)
  %o = s32[] get-tuple-element(%e), index=0
  ROOT %above = pred[] compare(%o, %none), direction=GT
}

ENTRY %main (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0), metadata={op_name="x[\\'a\\']"}
  %two = s32[] constant(2)
  %copied = s32[] copy(%two)
  %five = s32[] constant(5)
  %first = (s32[], f32[8]{0}, s32[]) tuple(%copied, %p, %five)
  %outer = (s32[], f32[8]{0}, s32[]) while(%first), condition=%outer_condition, body=%outer_body
  %q = f32[8]{0} get-tuple-element(%outer), index=1
  %second = (s32[], f32[8]{0}) tuple(%five, %q)
  %down = (s32[], f32[8]{0}) while(%second), condition=%down_condition, body=%inner_body
  ROOT %result = f32[8]{0} get-tuple-element(%down), index=1
}
"""


def test_loops_multiply_and_a_loop_of_unknown_length_counts_once():
    runs, unknown = parse_program(LOOPS).runs()
    assert runs["main"] == 1
    assert runs["outer_body"] == 5 - 2
    assert runs["inner_body"] == 3 * 12 + 1
    assert unknown == 1


def test_instructions_are_taken_apart():
    program = parse_program(LOOPS)
    loop = program.entry.instructions["outer"]
    assert loop.opcode == "while"
    assert loop.operands == ("first",)
    assert [result.dims for result in loop.results] == [(), (8,), ()]
    assert program.entry.root.name == "result"
    assert program.computations["inner_body"].root.operands == ("i", "v")


@pytest.mark.parametrize("length", [1, 7])
def test_scans_of_jax_have_their_length(length):
    def scan(x):
        return jax.lax.scan(lambda carry, _: (jnp.sin(carry) + 1, carry.sum()), x, length=length)

    compiled = jax.jit(scan).lower(jnp.ones((64, 64))).compile()
    program = parse_program(compiled.as_text())
    runs, unknown = program.runs()
    sines = sum(
        runs[computation.name]
        for computation in program.computations.values()
        for instruction in computation.instructions.values()
        if instruction.opcode == "sine"
    )
    assert (sines, unknown) == (length, 0)


@pytest.mark.parametrize(
    ("text", "size", "on_chip"),
    [
        ("bf16[4,16,56,56,64]{4,3,2,1,0}", 4 * 16 * 56 * 56 * 64 * 2, False),
        ("bf16[4,16,56,56,64]{4,3,2,1,0:T(8,128)(2,1)}", 4 * 16 * 56 * 56 * 128 * 2, False),
        ("f32[3,7,100]{0,2,1:T(8,128)S(1)}", 128 * 7 * 104 * 4, True),
        ("f32[512]{0:T(1024)}", 1024 * 4, False),
        ("pred[]{:T(512)}", 1, False),
        ("s4[16]{0:E(4)}", 8, False),
        ("f8e4m3fn[5]{0}", 5, False),
    ],
)
def test_padding_of_tiles_is_part_of_an_array(text, size, on_chip):
    (array,) = array_types(text)
    assert (array.bytes, array.on_chip) == (size, on_chip)


def test_a_text_without_a_program_is_refused():
    with pytest.raises(ValueError, match="ENTRY"):
        parse_program("HloModule empty\n")
