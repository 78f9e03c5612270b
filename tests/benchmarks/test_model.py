"""The model benchmark: it runs, and compares like with like."""

import json
import math
import pathlib
import subprocess
import sys

import pytest

BENCHMARK = pathlib.Path(__file__).parents[2] / "benchmarks" / "model.py"


@pytest.mark.slow
def test_the_benchmark_times_both_frameworks_on_the_same_computation(tmp_path):
    sizes = {"frames": 4, "size": 32, "num-classes": 5, "batch": 2, "repeats": 2}
    options = ["--model=uniformer_emim_tiny", *(f"--{name}={value}" for name, value in sizes.items())]
    report = tmp_path / "report.json"
    run = subprocess.run(
        [sys.executable, BENCHMARK, *options, "--json", report], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "JAX median" in run.stdout
    result = json.loads(report.read_text())
    assert result["largest_logit_difference"] <= 1e-4 * result["largest_logit"]
    jax_losses, torch_losses = result["losses"]["jax"], result["losses"]["pytorch"]
    assert len(jax_losses) == 3
    assert all(math.isclose(ours, theirs, rel_tol=1e-3) for ours, theirs in zip(jax_losses, torch_losses, strict=True))
    for task in ("forward", "train_step"):
        for framework in ("jax", "pytorch"):
            timing = result["tasks"][task][framework]
            assert len(timing["seconds"]) == 2
            assert 0 < timing["min"] <= timing["median"]
