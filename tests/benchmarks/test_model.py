"""The model benchmark: it runs, compares like with like, and its stages are those of the network."""

import json
import math
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import framework_process
import jax
import jax.numpy as jnp
import matmul_rate
import model
import network_stages
import numpy as np
import pytest
import torch
from frameworks_in_this_process import HereInThisProcess
from run_conditions import use_huge_pages
from torch_options import TimeSformerOptions
from torch_runner import TorchRunner

import motion_vit
from motion_vit.errors import UserError
from motion_vit.models.inspection import measure_costs
from motion_vit.models.intermediates import apply_with_intermediates

TINY_TIMESFORMER = TimeSformerOptions(5, frames=2, image_size=16, patch_size=8, width=8, depth=1, heads=2)

SMALL = {
    "widths": [8, 8, 8, 8],
    "depths": [1, 1, 2, 2],
    "head_channels": 8,
    "depthwise_implementation": "xla_conv",
}

ECHO = """
import os

class Echo:
    def __init__(self, word):
        self.word = word

    def environment(self, name):
        return f"{self.word} {os.environ[name]}"

    def fail(self):
        raise KeyError(self.word)
"""


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has the benchmark call its runners here, which saves importing both frameworks once more."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(model, "Framework", HereInThisProcess)
    monkeypatch.setattr(matmul_rate, "SIZES", (64,))
    with jax.numpy_dtype_promotion("standard"):  # which Optax relies on
        yield


def benchmark(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> dict[str, Any]:
    """Runs the benchmark with these options of the command line; returns what it writes."""
    report = folder / "report.json"
    monkeypatch.setattr(sys, "argv", ["model.py", *options, f"--json={report}"])
    model.main()
    return json.loads(report.read_text())


def test_a_framework_answers_from_a_process_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "echo.py").write_text(ECHO)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(framework_process.RUNNERS, "echo", ("echo", "Echo"))
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    framework = framework_process.Framework("pytorch", "echo", word="so:")
    answer = framework.call("environment", "GLIBC_TUNABLES")
    assert answer.value == "so: glibc.malloc.hugetlb=1"
    assert 0 < answer.seconds < 1
    with pytest.raises(RuntimeError, match=r"in the pytorch process:(.|\n)*KeyError: 'so:'"):
        framework.call("fail")
    framework.close()


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_the_benchmark_times_both_frameworks_on_the_same_computation(tmp_path, monkeypatch, capsys):
    sizes = {"frames": 4, "size": 32, "num-classes": 5, "batch": 2, "repeats": 1}
    options = ["--model=uniformer_emim_tiny", *(f"--{name}={value}" for name, value in sizes.items())]
    options += [f"--option={name}={json.dumps(value)}" for name, value in SMALL.items()]
    result = benchmark(tmp_path, monkeypatch, *options)
    assert "| training step | jax |" in capsys.readouterr().out
    assert result["largest_logit_difference"] <= 1e-4 * result["largest_logit"]
    jax_losses, torch_losses = result["losses"]["jax"], result["losses"]["pytorch"]
    assert len(jax_losses) == 7  # the first call, and six at each turn
    assert all(math.isclose(ours, theirs, rel_tol=1e-3) for ours, theirs in zip(jax_losses, torch_losses, strict=True))
    for task in ("forward", "train_step"):
        for framework in ("jax", "pytorch"):
            timing = result["tasks"][task][framework]
            assert len(timing["seconds"]) == 3
            assert 0 < timing["min"] <= timing["median"]
            assert timing["peak_mb"] > 0
    for framework in ("jax", "pytorch"):
        assert result["frameworks"][framework]["device"] == "cpu"
        forward, step = (result["tasks"][task][framework] for task in ("forward", "train_step"))
        assert step["flops"] == 3 * forward["flops"]


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_stages_are_timed_in_bfloat16_on_the_same_computation(tmp_path, monkeypatch, capsys):
    sizes = {"frames": 3, "size": 32, "num-classes": 5, "batch": 2, "repeats": 1}
    options = ["--model=timesformer_tiny", *(f"--{name}={value}" for name, value in sizes.items())]
    options += ["--option=width=24", "--option=depth=1"]
    result = benchmark(tmp_path, monkeypatch, *options, "--stages", "--dtype=bfloat16")
    printed = capsys.readouterr().out
    assert list(result["stages"]) == ["embedding", "blocks"]
    for name, stage in result["stages"].items():
        assert f"| {name}, forward and backward | jax |" in printed
        assert stage["largest_relative_difference"] < 0.05
        for task in ("forward", "forward_backward"):
            for framework, timing in stage[task].items():
                assert timing["share_of_peak"] == pytest.approx(
                    timing["flops"] / timing["median"] / result["matmul_flops_per_second"][framework]
                )
    both = [stage["forward"]["jax"]["flops"] for stage in result["stages"].values()]
    # What is not in a stage is the head.
    assert result["tasks"]["forward"]["jax"]["flops"] - sum(both) == 2 * 2 * 24 * 5
    assert result["frameworks"]["pytorch"]["autocast"] == "torch.bfloat16"
    assert result["frameworks"]["jax"]["options"]["dtype"] == "bfloat16"


def test_only_a_compiled_framework_that_cannot_run_is_left_out():
    class CannotRun(HereInThisProcess):
        def __init__(self, name):
            self.name = name

        def call(self, method, *args):
            raise RuntimeError(f"in the {self.name} process:\nTraceback\nInductorError: no compiler was found")

    compiled = CannotRun("pytorch compiled")
    assert model.measure([compiled], "forward", repeats=1, memory=True, together=True) == {}
    assert compiled.left_out == "InductorError: no compiler was found"
    with pytest.raises(RuntimeError, match="no compiler"):
        model.measure([CannotRun("pytorch")], "forward", repeats=1, memory=True)


@pytest.mark.slow
def test_stages_in_turn_are_the_network():
    network = motion_vit.create_model("uniformer_emim_tiny", frames=2, image_size=32, **SMALL)
    stages = network_stages.network_stages(network, 1, measure_costs(network))
    clips = jnp.asarray(np.random.default_rng(0).standard_normal((1, 2, 32, 32, 3), dtype=np.float32))

    @jax.jit
    def outputs(key, x):
        variables = network.init(key, x)
        _, intermediates = apply_with_intermediates(network, variables, x)
        found = {}
        for name, stage in stages.items():
            assert x.shape == stage.input.shape
            x, _ = stage.forward(stage.variables(variables), x)
            assert x.shape == stage.output.shape
            found[name] = x
        return intermediates, found

    intermediates, found = outputs(jax.random.key(0), clips)
    last_blocks = {f"stage{number}": depth - 1 for number, depth in enumerate(network.depths, start=1)}
    assert list(found) == list(last_blocks)
    for stage, block in last_blocks.items():
        np.testing.assert_allclose(found[stage], intermediates[f"{stage}/block{block}_output"], rtol=1e-5, atol=1e-5)


def test_models_without_a_twin_are_refused_by_name():
    with pytest.raises(UserError, match="a ResNet are not known here: choose one of UniFormer, TimeSformer, VideoMAE"):
        network_stages.network_stages(motion_vit.create_model("resnet18_tiny"), batch=1, costs={})


def test_networks_that_differ_are_told_from_those_that_are_the_same():
    result = {"dtype": "float32", "stages": {}, "largest_logit": 2.0, "largest_logit_difference": 1e-4}
    assert model.same_network(result)
    assert not model.same_network(result | {"largest_logit_difference": 0.01})
    assert not model.same_network(result | {"stages": {"stage1": {"largest_relative_difference": 0.01}}})


def test_pytorch_runs_what_torch_compile_returns(monkeypatch):
    called = []

    def stand_in(function):
        def compiled(x):
            called.append(x.shape)
            return function(x)

        return compiled

    monkeypatch.setattr(torch, "compile", stand_in)
    runner = TorchRunner(TINY_TIMESFORMER, compiled=True)
    clips = np.zeros((1, 2, 16, 16, 3), np.float32)
    runner.load_stages({"embedding": (clips, np.zeros((1, 9, 8), np.float32))})
    runner.stage_forward("embedding")
    assert called == [clips.shape]
    assert runner.settings()["compiled"]


def test_the_best_rate_is_that_of_the_matrices_that_are_large_enough(monkeypatch):
    clock = [0.0]
    seconds = {1024: 0.1, 2048: 0.2, 4096: 1.0, 8192: 0.1}
    monkeypatch.setattr(matmul_rate.time, "perf_counter", lambda: clock[0])

    def prepare(size):
        def multiply():
            clock[0] += seconds[size]

        return multiply

    # The third takes long enough, so that a fourth is not tried.
    assert matmul_rate.best_matmul_rate(prepare) == pytest.approx(2 * 4096**3 / 1.0)


def test_a_setting_of_the_allocator_is_kept(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    use_huge_pages()
    assert os.environ == {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    os.environ["GLIBC_TUNABLES"] = "glibc.malloc.arena_max=1"
    use_huge_pages()
    assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.arena_max=1"
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.setattr(os, "environ", {})
    use_huge_pages()
    assert os.environ == {}
