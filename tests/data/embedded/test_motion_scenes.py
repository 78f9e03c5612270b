import itertools

import cv2
import numpy as np
import pytest

from motion_vit.data.embedded.motion_scenes import MOTION_CLASSES, object_motion, render_clip, time_reversed
from motion_vit.errors import UserError

PROBE_CLIPS = 1500


def test_there_are_at_least_ten_classes_in_pairs():
    assert len(set(MOTION_CLASSES)) == len(MOTION_CLASSES) >= 10
    for label in MOTION_CLASSES:
        assert time_reversed(label) in MOTION_CLASSES
        assert time_reversed(label) != label
        assert time_reversed(time_reversed(label)) == label


@pytest.mark.parametrize("label", MOTION_CLASSES)
@pytest.mark.parametrize("frames", [5, 8])
def test_a_clip_played_backwards_is_the_clip_of_the_reversed_class(label, frames):
    clip = render_clip(label, seed=7, frames=frames, size=24)
    np.testing.assert_array_equal(render_clip(time_reversed(label), seed=7, frames=frames, size=24), clip[::-1])


def test_the_middle_frame_is_the_same_in_every_class():
    middles = [render_clip(label, seed=3, frames=9, size=32)[4] for label in MOTION_CLASSES]
    for middle in middles[1:]:
        np.testing.assert_array_equal(middle, middles[0])


def test_the_seed_decides_the_clip():
    clip = render_clip("grow", seed=11, frames=4, size=20)
    assert clip.shape == (4, 20, 20, 3)
    assert clip.dtype == np.uint8
    np.testing.assert_array_equal(render_clip("grow", seed=11, frames=4, size=20), clip)
    assert np.abs(render_clip("grow", seed=12, frames=4, size=20).astype(int) - clip).mean() > 10


def _object_motion(clip):
    """Mean motion, turning and expansion about the centre of what changes, from dense optical flow.

    The frames are rolled first, so that the border does not cut what moves.
    """
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
    size = clip.shape[1]
    changed = np.mean([cv2.absdiff(a, b) for a, b in itertools.pairwise(grey)], axis=0)
    phases = np.exp(2j * np.pi * (np.arange(size) + 0.5) / size)
    column = np.angle((changed.sum(0) * phases).sum()) / (2 * np.pi) % 1 * size
    row = np.angle((changed.sum(1) * phases).sum()) / (2 * np.pi) % 1 * size
    shift = (size // 2 - round(row), size // 2 - round(column))
    centred = [np.roll(frame, shift, axis=(0, 1)) for frame in grey]
    flow = np.mean(
        [cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 2, 15, 3, 5, 1.1, 0) for a, b in itertools.pairwise(centred)],
        axis=0,
    )
    y, x = np.mgrid[:size, :size] - size / 2
    inside = np.hypot(x, y) < size * 0.22
    right, down = flow[..., 0][inside], flow[..., 1][inside]
    x, y = x[inside], y[inside]
    return {
        "right": right.mean(),
        "down": down.mean(),
        "clockwise": np.mean(x * down - y * right) / size * 8,
        "outward": np.mean(x * right + y * down) / size * 8,
    }


@pytest.mark.fast_cases("grow-*", "right-*")
@pytest.mark.parametrize(
    ("label", "expected"),
    [("right", "right"), ("down", "down"), ("clockwise", "clockwise"), ("grow", "outward"), ("apart", "outward")],
)
def test_every_class_moves_as_its_name_says(label, expected):
    motions = [_object_motion(render_clip(label, seed, frames=16, size=64)) for seed in range(8)]
    mean = {name: np.mean([motion[name] for motion in motions]) for name in motions[0]}
    assert max(mean, key=mean.get) == expected, mean
    assert mean[expected] > 3 * max(abs(mean[name]) for name in mean if name != expected), mean


def test_an_unknown_class_is_reported_with_the_known_ones():
    with pytest.raises(UserError, match=r"'sideways'.*right, left"):
        render_clip("sideways", seed=0)
    with pytest.raises(UserError, match="sideways"):
        time_reversed("sideways")


@pytest.mark.parametrize(("frames", "size"), [(0, 32), (8, 0)])
def test_an_empty_clip_is_refused(frames, size):
    with pytest.raises(UserError, match=f"frames={frames}, size={size}"):
        render_clip("left", seed=0, frames=frames, size=size)


@pytest.fixture(scope="module")
def probe_data():
    """Small clips of all classes, each of its own seed, in -1..1, and their class numbers."""
    labels = np.arange(PROBE_CLIPS) % len(MOTION_CLASSES)
    clips = [render_clip(MOTION_CLASSES[label], seed, frames=4, size=32) for seed, label in enumerate(labels)]
    return np.stack(clips).astype(np.float32) / 127.5 - 1, labels


def _held_out_accuracy(pictures, labels):
    """Top-1 of a ridge classifier of 8x8 pixels on the half of the clips it was not fitted to, both ways round."""
    clips = len(pictures)
    pixels = pictures.reshape(clips, 8, 4, 8, 4, 3).mean(axis=(2, 4)).reshape(clips, -1)
    features = np.concatenate([pixels, np.ones((clips, 1), np.float32)], axis=1)
    targets = np.eye(len(MOTION_CLASSES), dtype=np.float32)[labels]
    first_half = np.arange(clips) < clips // 2
    correct = 0
    for fitted in (first_half, ~first_half):
        gram = features[fitted].T @ features[fitted] + 30 * np.eye(features.shape[1], dtype=np.float32)
        weights = np.linalg.solve(gram, features[fitted].T @ targets[fitted])
        correct += np.sum((features[~fitted] @ weights).argmax(axis=1) == labels[~fitted])
    return correct / clips


@pytest.mark.slow
@pytest.mark.parametrize("picture", ["first frame", "third frame", "last frame", "mean frame"])
def test_a_linear_probe_of_one_picture_stays_at_chance(probe_data, picture):
    clips, labels = probe_data
    pictures = {
        "first frame": clips[:, 0],
        "third frame": clips[:, 2],
        "last frame": clips[:, -1],
        "mean frame": clips.mean(axis=1),
    }
    assert _held_out_accuracy(pictures[picture], labels) == pytest.approx(1 / len(MOTION_CLASSES), abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("position", [0, -1])
def test_not_even_the_edges_of_a_single_frame_tell_the_class(probe_data, position):
    clips, labels = probe_data
    frame = clips[:, position]
    edges = [np.abs(np.roll(frame, 1, axis) - frame).mean(axis=-1) for axis in (1, 2)]
    features = np.stack([*edges, np.abs(frame).mean(axis=-1)], axis=-1)
    assert _held_out_accuracy(features, labels) == pytest.approx(1 / len(MOTION_CLASSES), abs=0.03)


@pytest.mark.slow
def test_the_probe_sees_a_class_where_there_is_one(probe_data):
    clips, labels = probe_data
    direction = labels % 2
    assert _held_out_accuracy(clips[:, 0] + 0.5 * direction[:, None, None, None], labels) > 0.13


@pytest.mark.parametrize("label", ["right", "left", "down", "up"])
def test_the_object_moves_as_its_true_motion_says(label: str) -> None:
    """Under it, a frame is the frame before, moved; over the whole picture, it is not."""
    clip = render_clip(label, 3, frames=24, size=96).astype(np.float32)
    velocity, cover = object_motion(label, 3, frames=24, size=96)
    right, down = velocity
    assert {"right": right > 0, "left": right < 0, "down": down > 0, "up": down < 0}[label]
    # So many frames apart that the object has moved by nearly whole pixels.
    apart = min(range(1, 8), key=lambda frames: abs(frames * sum(velocity) - round(frames * sum(velocity))))
    shift = (round(apart * down), round(apart * right))
    changes = []
    for frame in range(0, 24 - apart, 4):
        moved = np.roll(clip[frame], shift, axis=(0, 1))
        inside = (np.roll(cover[frame], shift, axis=(0, 1)) > 0.999) & (cover[frame + apart] > 0.999)
        assert inside.sum() > 500
        changes.append(
            (
                np.abs(moved - clip[frame + apart])[inside].mean(),
                np.abs(clip[frame] - clip[frame + apart])[inside].mean(),
            )
        )
    following, standing = np.mean(changes, axis=0)
    assert following < 0.3 * standing


def test_only_objects_that_move_as_a_whole_have_a_motion() -> None:
    with pytest.raises(UserError, match="it does in right, left, down, up"):
        object_motion("grow", 0)
