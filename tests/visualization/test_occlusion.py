"""How much a logit drops where a box of space and time is covered."""

import numpy as np
import planted_answers as planted
import pytest

import motion_vit
from motion_vit.visualization.clip_versions import version_logits
from motion_vit.visualization.occlusion import default_box, occlusion_drops


@pytest.mark.parametrize("seed", range(6))
def test_a_box_has_exactly_the_influence_that_the_model_gives_it(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(side) for side in rng.integers((2, 4, 4), (7, 14, 14)))
    box = tuple(int(side) for side in rng.integers(1, np.asarray(shape) + 2))
    ends = [sorted(rng.choice(side + 1, 2, replace=False).tolist()) for side in shape]
    model = planted.BoxBrightness(tuple((int(first), int(stop)) for first, stop in ends))
    clips, baseline = rng.normal(size=(2, 1, *shape, 3)).astype(np.float32)
    drops = occlusion_drops(model, {}, clips, box=box, baseline=baseline)[0]
    seen = np.zeros(shape, bool)
    seen[tuple(slice(*pair) for pair in ends)] = True
    change = np.where(seen, (clips - baseline)[0].mean(axis=-1), 0) * 10 / seen.sum()
    assert drops.shape == (*(-(-side // part) for side, part in zip(shape, box, strict=True)), 3)
    for place in np.ndindex(drops.shape[:3]):
        covered = tuple(slice(n * part, (n + 1) * part) for n, part in zip(place, box, strict=True))
        assert drops[place][1] == pytest.approx(change[covered].sum(), abs=1e-4)
        if not seen[covered].any():
            assert drops[place][1] == 0
    assert (drops[..., [0, 2]] == 0).all()


def test_a_network_is_measured_clip_by_clip(small_model):
    model, variables, clips = small_model("resnet")
    drops = occlusion_drops(model, variables, clips, box=(3, 16, 32))
    assert drops.shape == (2, 1, 2, 1, 5)
    upper = clips.copy()
    upper[:, :, :16] = 0
    whole, covered = np.split(version_logits(model, variables, [*clips, *upper]), 2)
    np.testing.assert_allclose(drops[:, 0, 0, 0], whole - covered, rtol=1e-3, atol=1e-3)


def test_the_default_box_leaves_few_boxes_whatever_the_clip():
    for shape in ((1, 1, 1), (8, 48, 48), (16, 224, 224), (3, 7, 100), (64, 30, 17)):
        boxes = np.ceil(np.asarray(shape) / default_box(shape))
        assert (boxes <= (4, 6, 6)).all()
    assert default_box((8, 48, 48, 3)) == (2, 8, 8)


@pytest.mark.mistyped
@pytest.mark.parametrize("box", [(0, 1, 1), (1, 1), (1, 2.0, 2), (2, -1, 3)])
def test_a_box_without_a_size_is_explained(box):
    model = planted.BoxBrightness(((0, 1), (0, 1), (0, 1)))
    with pytest.raises(motion_vit.UserError, match="must be three whole numbers from 1: frames, rows and columns"):
        occlusion_drops(model, {}, np.zeros((1, 2, 4, 4, 3), np.float32), box=box)
    with pytest.raises(motion_vit.UserError, match="the baseline has the shape"):
        occlusion_drops(
            model, {}, np.zeros((1, 2, 4, 4, 3), np.float32), baseline=np.zeros((2, 2, 4, 4, 3), np.float32)
        )
