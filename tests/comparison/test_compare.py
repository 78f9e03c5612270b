import json
import pathlib

import jax
import pytest
import training_processes
from ml_collections import ConfigDict

from motion_vit.comparison.compare import PLOT_FILE, RESULTS_FILE, TABLE_FILE, compare
from motion_vit.comparison.run_result import RESULT_FILE
from motion_vit.training.config import load_config

SPLITS = {"train": 16, "validation": 11}


def row(**options: object) -> ConfigDict:
    """A network that trains in a second, for two steps."""
    config = load_config(str(training_processes.RECIPE), ["--config.epochs=1.0", "--config.ema=()"])
    config.model.options.update(options)
    return config


def test_a_comparison_trains_every_row_with_every_seed_and_goes_on_where_it_was(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"small": row(), "smaller": row(dtype="float32")}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        assert compare({"small": rows["small"]}, tmp_path, splits=SPLITS)
        first = tmp_path / "runs" / "small" / "seed0" / RESULT_FILE
        written = first.stat().st_mtime_ns
        assert compare(rows, tmp_path, seeds=2, splits=SPLITS)
    assert first.stat().st_mtime_ns == written
    results = json.loads((tmp_path / RESULTS_FILE).read_text(encoding="utf-8"))
    # Seed by seed, so that half a comparison is one of all rows.
    assert [(result["row"], result["seed"]) for result in results] == [
        ("small", 0),
        ("smaller", 0),
        ("small", 1),
        ("smaller", 1),
    ]
    assert {result["videos"] for result in results} == {11}
    assert {result["steps"] for result in results} == {2}
    # The same network by another name, from the same seeds.
    names = ("top1", "frozen", "shuffled", "parameters")
    by_run = {(result["row"], result["seed"]): [result[name] for name in names] for result in results}
    assert by_run["small", 0] == by_run["smaller", 0]
    assert by_run["small", 1] == by_run["smaller", 1]
    table = (tmp_path / TABLE_FILE).read_text(encoding="utf-8")
    assert "| smaller | " in table
    assert table in capsys.readouterr().out
    assert (tmp_path / PLOT_FILE).read_bytes().startswith(b"\x89PNG")
    log = (tmp_path / "runs" / "smaller" / "seed1" / "log.txt").read_text(encoding="utf-8")
    assert "smaller, seed 1 starts: small, 16 videos" in log


def test_seeds_side_by_side_in_processes_of_their_own(tmp_path: pathlib.Path) -> None:
    # A preset's name that processes know without this test's help.
    config = row()
    config.model.name = "resnet18_tiny"
    config.model.options.update({"widths": (4, 4, 4, 4), "depths": (1, 1, 1, 1)})
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        assert compare({"tiny": config}, tmp_path, seeds=2, jobs=2, splits=SPLITS)
    results = json.loads((tmp_path / RESULTS_FILE).read_text(encoding="utf-8"))
    assert [(result["row"], result["seed"]) for result in results] == [("tiny", 0), ("tiny", 1)]
    assert results[0]["parameters"] == results[1]["parameters"]
