import pathlib

import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.data.sources.video_list import read_video_list
from motion_vit.training.checkpoints.run_checkpoints import load_for_inference
from motion_vit.training.evaluation.prediction import predict
from motion_vit.training.parallel import mesh as meshes


def test_probabilities_fall_and_sum_to_one_over_all_classes(
    finished_run: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    mesh = meshes.data_mesh()
    trained = load_for_inference(finished_run, mesh=mesh)
    paths = read_video_list(lists["validation"]).paths[:2]
    predictions = list(predict(trained, paths, top=10, mesh=mesh))
    assert [prediction.path for prediction in predictions] == list(paths)
    for prediction in predictions:
        names, probabilities = zip(*prediction.classes, strict=True)
        assert sorted(names) == sorted(trained.label_names)
        assert list(probabilities) == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1)


def test_only_the_most_probable_classes_are_named(finished_run: pathlib.Path, lists: dict[str, pathlib.Path]) -> None:
    mesh = meshes.data_mesh()
    trained = load_for_inference(finished_run, mesh=mesh)
    (prediction,) = predict(trained, read_video_list(lists["validation"]).paths[:1], top=2, mesh=mesh)
    assert len(prediction.classes) == 2
    assert prediction.to_dict()["predictions"][0].keys() == {"label", "probability"}


def test_no_class_is_named_where_logits_are_not_finite(
    finished_run: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    mesh = meshes.data_mesh()
    trained = load_for_inference(finished_run, mesh=mesh)
    trained.variables["params"]["head"]["bias"] = trained.variables["params"]["head"]["bias"].at[3].set(np.nan)
    (prediction,) = predict(trained, read_video_list(lists["validation"]).paths[:1], mesh=mesh)
    assert prediction.classes == ()
    assert prediction.to_dict()["predictions"] == []


def test_real_files_of_several_codecs_and_sizes_are_predicted(
    finished_run: pathlib.Path, shared_clips: pathlib.Path
) -> None:
    mesh = meshes.data_mesh()
    trained = load_for_inference(finished_run, mesh=mesh)
    names = ["decord_rot90.mov", "mma_test.avi", "tc_testsrc2_vp9.webm"]
    assert len(list(predict(trained, [str(shared_clips / name) for name in names], mesh=mesh))) == 3


def test_a_file_that_is_no_video_is_named(finished_run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    mesh = meshes.data_mesh()
    with pytest.raises(UserError, match=r"absent\.mp4"):
        list(predict(load_for_inference(finished_run, mesh=mesh), [str(tmp_path / "absent.mp4")], mesh=mesh))
