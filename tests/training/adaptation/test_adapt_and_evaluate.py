"""Adaptation of a small model to the videos of a list, in memory and by the commands."""

import csv
import dataclasses
import json
import pathlib

import numpy as np
import pytest
import safetensors.numpy
from normed_networks import register_normed_networks
from small_trained_model import small_trained_model

from motion_vit import UserError, cli
from motion_vit.cli.shifted_videos import _METHODS
from motion_vit.data.corruptions.corruption import Corruption
from motion_vit.training.adaptation.adapt_and_evaluate import adapt_and_evaluate
from motion_vit.training.adaptation.options import METHODS, AdaptationOptions
from motion_vit.training.adaptation.source_statistics import (
    SourceStatistics,
    read_source_statistics,
    source_statistics,
    write_source_statistics,
)
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.evaluation.evaluate_checkpoint import evaluate_checkpoint

Lists = dict[str, pathlib.Path]


@pytest.fixture(scope="module")
def trained(lists: Lists) -> TrainedModel:
    """A network with BatchNorm over places, whose classes are those of the lists."""
    register_normed_networks()
    with lists["train"].open(encoding="utf-8") as file:
        names = tuple(sorted({row["label"] for row in csv.DictReader(file)}))
    assert len(names) == 10
    return dataclasses.replace(small_trained_model(name="batchnorm"), label_names=names)


@pytest.fixture(scope="module")
def statistics(trained: TrainedModel, lists: Lists) -> SourceStatistics:
    return source_statistics(trained, lists["train"], videos=5)


def test_without_a_step_the_result_is_that_of_an_evaluation(
    trained: TrainedModel, statistics: SourceStatistics, lists: Lists
) -> None:
    corruption = Corruption("shot_noise", 5)
    options = AdaptationOptions(learning_rate=0.0, order_seed=1)
    adapted = adapt_and_evaluate(
        trained, lists["validation"], options, statistics=statistics, clips=2, crops=3, corruption=corruption
    )
    plain = evaluate_checkpoint(trained, lists["validation"], clips=2, crops=3, corruption=corruption)
    order = adapted.scored.rows
    assert sorted(order.tolist()) == list(range(11))
    assert order.tolist() != list(range(11))
    for scored in (adapted.scored, adapted.unadapted.scored):
        np.testing.assert_allclose(scored.logits, plain.scored.logits[order], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(scored.labels, plain.scored.labels[order])
    assert adapted.losses["align"].shape == (11,)
    assert adapted.layers == ("b2",)


@pytest.mark.slow
def test_a_video_that_starts_anew_does_not_know_which_came_before_it(
    trained: TrainedModel, statistics: SourceStatistics, lists: Lists
) -> None:
    anew, turned = (
        adapt_and_evaluate(
            trained,
            lists["validation"],
            AdaptationOptions(reset=True, learning_rate=0.01, order_seed=seed),
            statistics=statistics,
        )
        for seed in (None, 0)
    )
    assert turned.scored.rows.tolist() != list(range(11))
    np.testing.assert_allclose(turned.scored.logits, anew.scored.logits[turned.scored.rows], rtol=1e-5, atol=1e-6)
    assert np.abs(anew.scored.logits - anew.unadapted.scored.logits).max() > 1e-4


def test_a_video_that_cannot_be_decoded_is_left_out_and_named(
    trained: TrainedModel, list_with_a_broken_video: tuple[pathlib.Path, pathlib.Path]
) -> None:
    source, broken = list_with_a_broken_video
    result = adapt_and_evaluate(trained, source, AdaptationOptions(method="norm"))
    assert (result.videos, result.skipped) == (23, (str(broken),))


def test_a_model_of_one_class_has_nothing_to_adapt(trained: TrainedModel, lists: Lists) -> None:
    single = dataclasses.replace(trained, label_names=("all",))
    with pytest.raises(UserError, match="knows a single class, 'all'"):
        adapt_and_evaluate(single, lists["validation"], AdaptationOptions(method="norm"))


def test_statistics_are_read_as_they_were_written_for_the_same_weights_alone(
    trained: TrainedModel, statistics: SourceStatistics, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "new" / "statistics.safetensors"
    write_source_statistics(statistics, file)
    found = read_source_statistics(file, trained)
    assert (found.data, found.videos, list(found.layers)) == (statistics.data, 5, list(statistics.layers))
    for layer, measured in statistics.layers.items():
        for one, other in zip(measured, found.layers[layer], strict=True):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(UserError, match="are of other weights than these"):
        read_source_statistics(file, small_trained_model(seed=1, name="batchnorm"))


def test_videos_of_the_source_need_no_labels(
    trained: TrainedModel, statistics: SourceStatistics, lists: Lists, tmp_path: pathlib.Path
) -> None:
    with lists["train"].open(encoding="utf-8") as file:
        paths = [str(lists["train"].parent / row["path"]) for row in csv.DictReader(file)]
    (tmp_path / "videos.csv").write_text("\n".join(["path", *paths]))
    found = source_statistics(trained, tmp_path / "videos.csv", videos=5)
    assert found.weights == statistics.weights
    for layer, measured in statistics.layers.items():
        np.testing.assert_array_equal(found.layers[layer].mean, measured.mean)


@pytest.mark.parametrize("damage", ["cut", "foreign", "empty"])
def test_what_is_no_file_of_statistics_is_told(
    damage: str, trained: TrainedModel, statistics: SourceStatistics, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "statistics.safetensors"
    write_source_statistics(statistics, file)
    whole = file.read_bytes()
    content = {"cut": whole[: len(whole) // 2], "empty": b"", "foreign": safetensors.numpy.save({"a": np.ones(2)})}
    file.write_bytes(content[damage])
    with pytest.raises(UserError, match=r"holds no source statistics .*motion-vit source-statistics --checkpoint"):
        read_source_statistics(file, trained)
    with pytest.raises(UserError, match=r"there are no source statistics in .*motion-vit source-statistics"):
        read_source_statistics(tmp_path / "absent", trained)


@pytest.mark.slow
def test_the_commands_measure_the_source_and_adapt_to_corrupted_videos(
    trained: TrainedModel, lists: Lists, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "weights"
    write_weights_folder(folder, trained)
    evaluate = ["evaluate", "--checkpoint", str(folder), "--data", str(lists["validation"]), "--json"]
    assert cli.main([*evaluate, "--adapt", "vitta"]) == 2
    assert f"there are no source statistics in {folder / 'source_statistics.safetensors'}" in capsys.readouterr().err
    measure = ["source-statistics", "--checkpoint", str(folder), "--data", str(lists["train"]), "--videos", "3"]
    assert cli.main(measure) == 0
    assert "2 normalisation layers measured on 3 videos" in capsys.readouterr().out
    asked = ["--adapt", "vitta", "--adapt-option", "start=source", "--adapt-option", "layers=b."]
    assert cli.main([*evaluate, *asked, "--corruptions", "contrast,rain", "--severities", "1,5"]) == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert said["adaptation"]["aligned_layers"] == ["b1", "b2"]
    assert said["adaptation"]["start"] == "source"
    assert said["unadapted"]["videos"] == 11
    results = said["robustness"]["corrupted"]
    assert [(each["corruption"], each["severity"]) for each in results] == [
        *(("contrast", 1), ("contrast", 5)),
        *(("rain", 1), ("rain", 5)),
    ]
    assert all(0 <= each["adapted"]["top1"] <= 1 for each in results)
    assert "rain, severity 5: top-1 " in printed.err
    report = folder / "evaluation" / "validation-normal-vitta"
    assert json.loads((report / "robustness.json").read_text()) == said["robustness"]
    with (report / "adaptation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 11
    assert float(rows[0]["total"]) >= float(rows[0]["align"]) > 0
    assert (report / "robustness.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--severities", "1"], "--severities belongs to --corruptions"),
        (["--adapt-option", "views=3"], "--adapt-option belongs to --adapt"),
        (["--statistics", "file"], "--statistics belongs to --adapt"),
        (["--corruptions", "contrst"], "Did you mean 'contrast'?"),
        (["--adapt", "tent", "--adapt-option", "view=3"], "adaptation has no option 'view'. Did you mean 'views'?"),
        (["--adapt", "tent", "--adapt-option", "views"], "an option of adaptation is written OPTION=VALUE"),
        (["--adapt", "tent", "--adapt-option", "views=0"], "views is 0, but must be a whole number from 1"),
    ],
)
def test_what_does_not_go_together_is_told_before_anything_is_loaded(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["evaluate", "--checkpoint", "absent", "--data", "absent", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_command_line_names_the_methods_there_are() -> None:
    assert _METHODS == METHODS
