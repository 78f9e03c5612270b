"""The table of the experiment on static bias, and the results that it continues from."""

import json
import pathlib

import pytest
from static_bias import COLUMNS, RESULT_FILE, ROWS, Experiment, table

from motion_vit.training.recipe.checks import validate_fields


def test_a_table_has_means_and_deviations_of_seeds() -> None:
    seeds = [dict.fromkeys(COLUMNS, value) for value in (0.5, 0.7)]
    *_, one = table({"tsn": seeds[:1]}).splitlines()
    *_, both = table({"tsn": seeds}).splitlines()
    assert one == "| tsn |" + " 50.0 |" * len(COLUMNS)
    assert both == "| tsn |" + " 60.0 ± 14.1 |" * len(COLUMNS)


def test_a_finished_row_is_read_and_every_row_is_a_recipe(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = {"train": tmp_path / "train.csv", "validation": tmp_path / "validation.csv"}
    monkeypatch.setattr(Experiment, "render", lambda self: lists)
    experiment = Experiment(tmp_path, ["--config.data.size=32"])
    folder = tmp_path / "runs" / "tsn" / "seed1"
    folder.mkdir(parents=True)
    (folder / RESULT_FILE).write_text(json.dumps({**dict.fromkeys(COLUMNS, 0.25), "videos": 3}))
    assert experiment.measure("tsn", 1) == dict.fromkeys(COLUMNS, 0.25)
    for row in ROWS:
        config = experiment._config(row, 2)
        validate_fields(config)
        assert (config.name, config.seed, config.data.size) == (row, 2, 32)
        assert config.augmentation.still == ("bank" if row.endswith("-bank") else "none")
