"""The profile of a training step: operations are found in the trace, and each counts once and where it belongs."""

import gzip
import itertools
import json
import pathlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import traced_operations
from operation_places import Place, operation_names, place_finder
from profile_step import main

import motion_vit
from motion_vit.training.ahead_of_time.compiled_program import parse_program

TRACED = "jit(train_step)/{}(UniFormer){}/stage3/stage3._apply_block/block{}/{}"


Event = dict[str, Any]


def event(name: str, start: float, duration: float, module: str = "jit_step") -> Event:
    return {"ph": "X", "name": "Thunk", "ts": start, "dur": duration, "args": {"hlo_op": name, "hlo_module": module}}


def process(number: int, name: str, *threads: list[Event]) -> list[Event]:
    """The events of a trace that belong to a host or a device."""
    named = {"ph": "M", "pid": number, "name": "process_name", "args": {"name": name}}
    return [named, *(each | {"pid": number, "tid": tid} for tid, thread in enumerate(threads) for each in thread)]


@pytest.mark.fast_cases("*-place1", "*-place5", "*-place9")
@pytest.mark.parametrize(
    ("name", "place"),
    [
        (TRACED.format("jvp", "", 0, "attention/qkv/dot_general"), ("stage3", "cost-volume attention", "forward")),
        (TRACED.format("jvp", "", 1, "attention/qkv/dot_general"), ("stage3", "attention", "forward")),
        (TRACED.format("transpose(jvp", ")", 1, "mlp/fc1/add"), ("stage3", "perceptron", "backward")),
        (TRACED.format("jvp", "", 1, "add;jit(train_step)/optimizer/mul"), ("stage3", "other", "forward")),
        ("jit(f)/jvp(UniFormer)/patch_embed2/norm/sub", ("stage2", "patch embedding", "forward")),
        ("jit(f)/transpose(jvp(UniFormer))/norm/div", ("head", "normalisation", "backward")),
        ("jit(f)/jvp(UniFormer)/div", ("head", "other", "forward")),
        ("jit(f)/transpose(jvp(loss))/div", ("head", "other", "backward")),
        ("jit(f)/optimizer/jit(_where)/select_n", ("optimizer", "optimizer", "")),
        ("", ("unknown", "other", "")),
    ],
)
def test_an_operation_belongs_to_the_layer_that_it_was_traced_in(name: str, place: tuple[str, ...]) -> None:
    find = place_finder(motion_vit.create_model("uniformer_emim_tiny"))
    assert find(name) == Place(*place)


def test_what_the_compiler_adds_belongs_to_what_it_reads_or_what_reads_it() -> None:
    text = """HloModule jit_step

joined (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %multiply.1 = f32[4]{0} multiply(%p, %p), metadata={op_name="inner"}
}

ENTRY main (a: f32[4], b: f32[4]) -> f32[4] {
  %a = f32[4]{0} parameter(0), metadata={op_name="state"}
  %b = f32[4]{0} parameter(1)
  %copy.1 = f32[4]{0} copy(%a)
  %fusion = f32[4]{0} fusion(%copy.1), kind=kLoop, calls=%joined
  %copy.2 = f32[4]{0} copy(%fusion)
  %copy.3 = f32[4]{0} copy(%copy.2)
  %lonely = f32[4]{0} copy(%b)
  ROOT %add.1 = f32[4]{0} add(%copy.3, %copy.3), metadata={op_name="outer" stack_frame_id=3}
}
"""
    names = operation_names(parse_program(text))
    assert {name: names[name] for name in ("copy.1", "fusion", "copy.2", "copy.3", "add.1")} == {
        "copy.1": "inner",
        "fusion": "inner",
        "copy.2": "inner",
        "copy.3": "inner",
        "add.1": "outer",
    }
    assert not {"lonely", "a", "b"} & names.keys()


def test_the_time_of_a_loop_is_without_that_of_its_body(tmp_path: pathlib.Path) -> None:
    thread = [
        *(event("body", 10 + 20 * turn, 15) for turn in range(4)),
        event("loop", 5, 100),
        event("after", 105, 10),
        event("body", 20, 5, module="jit_other"),
    ]
    other_thread = [event("body", 0, 40), event("unheard of", 0, 100)]
    host = process(1, "/host:CPU", thread, other_thread)

    def microseconds(*processes: list[Event]) -> dict[str, float]:
        file = tmp_path / "host.trace.json.gz"
        file.write_bytes(gzip.compress(json.dumps({"traceEvents": [*itertools.chain(*processes), {}]}).encode()))
        found = traced_operations.self_seconds(file, "jit_step", {"loop", "body", "after"})
        return {name: round(1e6 * each) for name, each in found.items()}

    assert microseconds(host) == {"loop": 40, "body": 100, "after": 10}
    # Where a device has a process, the host's events are the calls that launch its operations.
    assert microseconds(host, process(2, "/device:GPU:0", [event("body", 0, 7)])) == {"body": 7}
    assert microseconds(host, process(2, "/device:CUSTOM:0", [])) == microseconds(host)


@pytest.mark.slow
def test_a_trace_has_the_operations_of_the_program(tmp_path: pathlib.Path) -> None:
    program = jax.jit(lambda x: jax.lax.fori_loop(0, 3, lambda _, y: jnp.sin(y @ x), x)).lower(jnp.eye(64)).compile()
    operations = {
        instruction: each.opcode
        for computation in parse_program(program.as_text()).computations.values()
        for instruction, each in computation.instructions.items()
    }
    file = traced_operations.trace(lambda: program(jnp.eye(64)).block_until_ready(), tmp_path)
    module = program.as_text().split()[1].rstrip(",")
    found = traced_operations.self_seconds(file, module, operations)
    assert "while" in {operations[name] for name in found}
    assert all(seconds >= 0 for seconds in found.values())


@pytest.mark.slow
def test_the_profile_of_a_step_is_a_table_and_a_picture(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, report = tmp_path / "step.png", tmp_path / "step.json"
    arguments = ["--model=timesformer_tiny", "--frames=2", "--size=32", "--num-classes=3", "--steps=2"]
    monkeypatch.setattr(sys, "argv", ["profile_step.py", *arguments, "--out", str(picture), "--json", str(report)])
    with jax.numpy_dtype_promotion("standard"):  # which Optax relies on
        main()
    result = json.loads(report.read_text())
    assert len(result["step_seconds"]) == len(result["untraced_step_seconds"]) == 2
    seconds = {(each["stage"], each["kind"], each["direction"]): each["seconds"] for each in result["seconds"]}
    for direction in ("forward", "backward"):
        assert seconds["blocks", "attention", direction] > 0
        assert seconds["blocks", "perceptron", direction] > 0
        assert seconds["embedding", "patch embedding", direction] > 0
    assert seconds["optimizer", "optimizer", ""] > 0
    # Nearly all that the step computes is found where it belongs.
    assert sum(each for (stage, _, _), each in seconds.items() if stage == "unknown") < 0.1 * sum(seconds.values())
    rows = capsys.readouterr().out.splitlines()
    assert [row for row in rows if row.startswith("| blocks | backward |")]
    assert picture.read_bytes().startswith(b"\x89PNG")
