import pathlib

import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.data.sources.video_list import read_video_list
from motion_vit.training.checkpoints.run_checkpoints import load_for_inference
from motion_vit.training.evaluation.prediction import predict
from motion_vit.training.inference.prediction import Prediction


def test_probabilities_fall_and_sum_to_one_over_all_classes(
    finished_run: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    trained = load_for_inference(finished_run)
    paths = read_video_list(lists["validation"]).paths[:2]
    predictions = predict(paths, trained, top=10)
    assert [prediction.path for prediction in predictions] == list(paths)
    for prediction in predictions:
        names, probabilities = zip(*prediction.classes, strict=True)
        assert sorted(names) == sorted(trained.label_names)
        assert list(probabilities) == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1)


def test_only_the_most_probable_classes_are_named(finished_run: pathlib.Path, lists: dict[str, pathlib.Path]) -> None:
    trained = load_for_inference(finished_run)
    (prediction,) = predict(read_video_list(lists["validation"]).paths[0], trained, top=2)
    assert len(prediction.classes) == 2
    assert prediction.to_dict()["predictions"][0].keys() == {"label", "probability"}


def test_no_class_is_named_where_logits_are_not_finite(
    finished_run: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    trained = load_for_inference(finished_run)
    trained.variables["params"]["head"]["bias"] = trained.variables["params"]["head"]["bias"].at[3].set(np.nan)
    (prediction,) = trained.predict(read_video_list(lists["validation"]).paths[:1])
    assert prediction.classes == ()
    assert prediction.to_dict()["predictions"] == []


def test_real_files_of_several_codecs_and_sizes_are_predicted(
    finished_run: pathlib.Path, shared_clips: pathlib.Path
) -> None:
    trained = load_for_inference(finished_run)
    names = ["decord_rot90.mov", "mma_test.avi", "tc_testsrc2_vp9.webm"]
    assert len(trained.predict([shared_clips / name for name in names])) == 3


def test_a_file_that_is_no_video_is_named(finished_run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"absent\.mp4"):
        predict(tmp_path / "absent.mp4", finished_run)


def test_broken_files_among_several_cost_none_of_the_others(
    finished_run: pathlib.Path, lists: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    first, second = read_video_list(lists["validation"]).paths[:2]
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    trained = load_for_inference(finished_run)
    predictions = predict([first, tmp_path / "broken.mp4", second, tmp_path / "absent.mp4"], trained)
    good, broken, other, absent = predictions
    assert [good, other] == predict([first, second], trained)
    assert good.error == other.error == ""
    assert "error" not in good.to_dict()
    for prediction in (broken, absent):
        assert (prediction.classes, prediction.to_dict()["predictions"]) == ((), [])
        assert prediction.to_dict()["error"] == prediction.error
        assert str(prediction) == f"{prediction.path}\n  not classified: {prediction.error}"
    assert "not exist" in absent.error


def test_a_model_may_be_given_by_its_folder(finished_run: pathlib.Path, lists: dict[str, pathlib.Path]) -> None:
    paths = read_video_list(lists["validation"]).paths[:2]
    assert predict(paths, finished_run) == load_for_inference(finished_run).predict(paths)


def test_clips_in_place_of_files_are_refused_with_what_to_do(finished_run: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"given ndarray\..*trained\.preprocess"):
        predict(np.zeros((1, 4, 16, 16, 3), np.uint8), finished_run)


def test_a_prediction_is_written_as_a_line_for_each_class() -> None:
    assert str(Prediction("x.mp4", (("up", 0.75), ("down", 0.25)))) == "x.mp4\n   75.0 %  up\n   25.0 %  down"
