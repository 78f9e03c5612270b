"""The tables of the experiments on few labels, the trials, and the results that they continue from."""

import json
import pathlib

import pytest
from fewer_labels import EXPERIMENTS, PRETRAINED, Experiments, Trial, draw, table, trials

from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.data.sources.open_source import open_source
from motion_vit.training.recipe.checks import validate_fields


def test_a_table_has_a_row_for_each_network_and_a_column_for_each_share() -> None:
    alone, started = Trial("pretraining", "emim", 0.1), Trial("pretraining", "emim", 1.0, "pretrain-filling")
    paces = [{"top1": value, "clips_per_second": 40.0} for value in (0.5, 0.7)]
    header, _, *rows = table({alone: paces, started: [{"top1": 0.25}]}).splitlines()
    assert header == "| network | 10 % of the labels | 100 % of the labels | clips/s |"
    assert rows == ["| emim | 60.0 ± 14.1 |  | 40 |", "| emim from pretrain-filling |  | 25.0 |  |"]


@pytest.mark.fast_cases("frozen")
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_trial_has_a_name_of_its_own_and_recipes_that_can_be_used(
    experiment: str, tmp_path: pathlib.Path
) -> None:
    found, experiments = list(trials(experiment)), Experiments(tmp_path, clips={"train": 4, "validation": 2})
    assert len({(trial.name, trial.share) for trial in found}) == len(found)
    for row in {name for trial in found for name in (trial.row, trial.start) if name}:
        config = experiments._config(row, 2)
        validate_fields(config)
        assert (config.name, config.seed) == (row, 2)


def test_a_finished_trial_is_read_and_labels_are_nested(tmp_path: pathlib.Path) -> None:
    experiments = Experiments(tmp_path, clips={"train": 30, "validation": 1})
    result = tmp_path / "runs" / "pretraining" / "emim_from_pretrain-tube" / "share0.1" / "seed1.json"
    result.parent.mkdir(parents=True)
    result.write_text(json.dumps({"top1": 0.5}))
    assert experiments.measure(Trial("pretraining", "emim", 0.1, "pretrain-tube"), 1) == {"top1": 0.5}
    render_dataset(tmp_path / "videos", splits={"train": 30, "validation": 1}, workers=1, progress=False)
    few, more = (open_source(experiments._labelled(share, 1), default_split="train") for share in (1 / 3, 2 / 3))
    assert (len(few), len(more)) == (10, 20)
    assert {pathlib.Path(path).name for path in few.paths} <= {pathlib.Path(path).name for path in more.paths}


def test_curves_are_drawn_for_each_network(tmp_path: pathlib.Path) -> None:
    results = {trial: [{"top1": trial.share}, {"top1": 0.1}] for trial in trials("pretraining")}
    assert {trial.row for trial in results} == set(PRETRAINED)
    draw(results, tmp_path / "pretraining.png")
    assert (tmp_path / "pretraining.png").stat().st_size > 10_000
