"""From clips in memory to logits, with a trained model."""

import dataclasses

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
    logits = np.asarray(trained.model.apply(trained.variables, trained.preprocess(clips)))[0]
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
