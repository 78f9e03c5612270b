"""Videos of a frame rate far from the others' are named: by `data check`, and by `predict` with what training knew."""

import jax.numpy as jnp
import pytest

from motion_vit.data.datasets.own_videos import read
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.sources.frame_rates import is_far, median_rate, rate_note
from motion_vit.data.sources.named_videos import find_videos
from motion_vit.data.sources.prepared_dataset import open_prepared
from motion_vit.data.sources.source_check import check_source
from motion_vit.data.sources.video_list import read_video_list
from motion_vit.training.checkpoints.run_description import describe
from motion_vit.training.inference.prediction import predict_videos
from motion_vit.training.parallel.mesh import data_mesh
from motion_vit.training.recipe.config import default_config


@pytest.fixture(scope="module")
def rates(tmp_path_factory, write_video, numbered):
    folder = tmp_path_factory.mktemp("rates")
    for name, rate in (("a", 25), ("b", 25), ("c", 30), ("slow", 10)):
        write_video(folder / f"{name}.mp4", numbered(8), rate=rate)
    (folder / "list.csv").write_text("path,label\na.mp4,x\nb.mp4,y\nc.mp4,x\nslow.mp4,y\n")
    return folder


def notes(folder, *, trained, **data):
    config = default_config()
    config.data.frames, config.data.size, config.data.sampling = 2, 16, "dense"
    config.data.update(data)
    videos = find_videos(str(folder / f"{name}.mp4") for name in ("a", "c", "slow"))
    found = predict_videos(
        lambda variables, clips: jnp.zeros((len(clips), 2)),
        {},
        config,
        ("x", "y"),
        videos,
        top=1,
        mesh=data_mesh(),
        frame_rate=trained,
    )
    predictions = list(found)
    assert all(("note" in one.to_dict()) == bool(one.note) == ("note: " in str(one)) for one in predictions)
    return [one.note for one in predictions]


def test_rates_are_far_beyond_a_factor_of_a_half_more_and_never_where_unknown():
    assert [is_far(rate, 20) for rate in (0, 13, 14, 20, 30, 31)] == [False, True, False, False, False, True]
    assert not is_far(20, 0)
    assert (median_rate([0, 0]), median_rate([10, 0, 30, 25])) == (0, 25)


def test_a_checked_source_names_the_clips_that_are_far_from_its_median(rates):
    result = check_source(read_video_list(rates / "list.csv"), workers=1, progress=False)
    assert result.far_rates == {"slow.mp4": pytest.approx(10)}
    assert "1 clip with a frame rate more than 1.5 times above or below the median" in result.summary()
    assert "slow.mp4: 10" in result.summary()


@pytest.mark.parametrize("codec", ["copy", "h264-fast"])
def test_a_run_on_prepared_videos_knows_their_median_and_one_on_a_list_does_not(rates, tmp_path, codec):
    prepare_dataset(read(rates / "list.csv", 0), tmp_path, codec=codec, workers=1, progress=False)
    prepared = open_prepared(tmp_path, "train")
    assert prepared.manifest.rates == {"25.00": 2, "30.00": 1, "10.00": 1}
    assert prepared.frame_rate == 25
    assert describe(default_config(), prepared)["frame_rate"] == 25
    assert read_video_list(rates / "list.csv").frame_rate == 0


def test_a_prediction_says_how_its_frame_rate_differs_from_trainings(rates):
    expected = (
        "this video has 10 frames a second, the training videos had 25 (median), and sampling counts frames: motion "
        "looks 2.5 times as fast"
    )
    assert notes(rates, trained=25) == ["", "", expected]
    assert notes(rates, trained=0) == ["", "", ""]
    assert notes(rates, trained=25, sampling="segment") == ["", "", ""]


def test_a_prediction_by_time_says_where_frames_repeat(rates):
    expected = "this video has 10 frames a second, and data.fps samples 25, so that frames repeat"
    assert notes(rates, trained=0, fps=25.0) == ["", "", expected]
    assert rate_note(60, fps=25, trained=25) == ""
