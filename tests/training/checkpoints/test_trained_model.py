"""From clips in memory to logits, with a trained model."""

import dataclasses

import jax
import numpy as np
import pytest
from small_trained_model import small_trained_model

import motion_vit
from motion_vit.data.batches.evaluation_batches import clip_views
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.video.encoding import write_video
from motion_vit.training.recipe.clips import clip_options


@pytest.fixture(scope="module")
def trained():
    return small_trained_model()


def pixels(shape=(2, 4, 32, 32, 3)):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_pixels_are_normalised_in_the_models_order_of_channels(trained):
    trained = dataclasses.replace(trained, config=trained.config.copy_and_resolve_references())
    trained.config.data.update({"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7), "channel_order": "bgr"})
    inputs = np.asarray(trained.preprocess(pixels()))
    assert inputs.dtype == np.float32
    np.testing.assert_allclose(inputs[..., 2], (pixels()[..., 0] / 255 - 0.1) / 0.5, rtol=1e-5, atol=1e-6)


def test_a_video_is_classified_as_its_clip_in_memory_is(trained, tmp_path):
    path = str(tmp_path / "noise.mp4")
    write_video(path, pixels((8, 32, 48, 3)))
    (prediction,) = trained.predict(path, top=10)
    clips = clip_views(StoredClip(id=path, label=0, video=path), clip_options(trained.config))
    logits = np.asarray(jax.jit(trained.model.apply)(trained.variables, trained.preprocess(clips)))[0]
    probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert [name for name, _ in prediction.classes] == [trained.label_names[i] for i in np.argsort(-logits)]
    found = dict(prediction.classes)
    np.testing.assert_allclose([found[name] for name in trained.label_names], probabilities, rtol=1e-4)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (pixels() / np.float32(255), r"clips are float32, but uint8 .* \(255 \* clips\)\.round\(\)"),
        (pixels()[0], r"shape \(4, 32, 32, 3\).*clips\[None\] makes a batch"),
        (pixels().transpose(0, 4, 1, 2, 3), r"shape \(2, 3, 4, 32, 32\), but \[batch, frames, height, width, 3\]"),
    ],
    ids=["floats", "one clip", "channels first"],
)
def test_what_are_no_pixels_is_refused_with_what_to_do(trained, clips, message):
    with pytest.raises(motion_vit.UserError, match=message):
        trained.preprocess(clips)


@pytest.mark.mistyped
@pytest.mark.parametrize("clips", [None, [1, 2], "a.mp4", 3.0, object()])
def test_what_is_no_array_is_refused_with_what_to_do(trained, clips):
    with pytest.raises(motion_vit.UserError, match=r"clips are given as \w+, but must be an array.* numpy\.asarray"):
        trained.preprocess(clips)


@pytest.mark.mistyped
@pytest.mark.parametrize("top", ["3", 1.5, 0, -1, None, [2]])
def test_the_number_of_classes_is_a_whole_number_of_1_or_more(trained, top):
    with pytest.raises(motion_vit.UserError, match=r"top is .*, but must be a whole number of 1 or more"):
        motion_vit.predict("absent.mp4", trained, top=top)


@pytest.mark.mistyped
@pytest.mark.parametrize("videos", [None, 3, [None], [["a.mp4"]], b"a.mp4", pixels(), pixels()[0], np.array(3)])
def test_what_is_no_video_file_is_refused_with_what_to_do(trained, videos):
    with pytest.raises(motion_vit.UserError, match=r"predict takes the path of a video file, or a list .*preprocess"):
        motion_vit.predict(videos, trained)


def test_no_video_at_all_is_a_mistake(trained):
    with pytest.raises(motion_vit.UserError, match="no video is given to classify"):
        motion_vit.predict([], trained)


@pytest.mark.mistyped
@pytest.mark.parametrize("model", [None, 3, ["demo"], b"demo", {}])
def test_what_is_no_model_is_refused_with_what_to_do(trained, model):
    for other in (model, trained.model, trained.variables):
        with pytest.raises(motion_vit.UserError, match=r"the model is given as \w+, but must be a TrainedModel"):
            motion_vit.predict("absent.mp4", other)
    with pytest.raises(motion_vit.UserError, match=r"the folder of a trained model is given as \w+, but"):
        motion_vit.load(model)
    with pytest.raises(motion_vit.UserError, match="the model is loaded already"):
        motion_vit.load(trained)
