"""Image convolutions as convolutions of clips, which must compute what PyTorch's convolution of the image does."""

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import motion_vit
from motion_vit.interop.families.layouts import CONVOLUTION, DEPTHWISE
from motion_vit.interop.importing.inflation import inflate, inflates
from motion_vit.interop.importing.report import CheckpointImportError
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.modules.depthwise_conv3d import DepthwiseConv3D
from motion_vit.modules.patch_embedding import PatchProjection

torch = pytest.importorskip("torch")
functional = torch.nn.functional

FRAMES = 7


def draw(*shape):
    return np.random.default_rng(11).standard_normal(shape, dtype=np.float32)


def still_clip(image):
    """A clip `[1, t, h, w, c]` that shows an image `[h, w, c]` all the time."""
    return jnp.asarray(np.broadcast_to(image, (1, FRAMES, *image.shape)))


def image_convolution(image, kernel, **options):
    """PyTorch's convolution of an image `[h, w, c]`."""
    channels_first = torch.from_numpy(image).permute(2, 0, 1)[None]
    return functional.conv2d(channels_first, torch.from_numpy(kernel), **options)[0].permute(1, 2, 0).numpy()


def frames_that_agree(clip, image):
    return [bool(np.allclose(frame, image, rtol=1e-4, atol=1e-5)) for frame in np.asarray(clip[0])]


@pytest.mark.parametrize("inflation", ["average", "center"])
def test_the_stem_makes_of_a_still_clip_what_the_image_stem_makes_of_the_image(inflation):
    image, kernel = draw(12, 8, 3), draw(5, 3, 4, 4)
    inflated = CONVOLUTION.to_flax(inflate(kernel, 3, inflation))
    stem = PatchProjection(5, kernel_size=(3, 4, 4))
    found = stem.apply({"params": {"kernel": inflated, "bias": jnp.zeros(5)}}, still_clip(image))
    agree = frames_that_agree(found, image_convolution(image, kernel, stride=4))
    assert all(agree[1:-1])
    # Beyond the clip are zeros, which an average takes for frames.
    assert agree[0] == agree[-1] == (inflation == "center")


@pytest.mark.parametrize("inflation", ["average", "center"])
def test_a_depthwise_convolution_does_so_too(inflation):
    image, kernel = draw(6, 9, 4), draw(4, 1, 5, 5)
    inflated = DEPTHWISE.to_flax(inflate(kernel, 5, inflation))
    layer = DepthwiseConv3D(5)
    found = layer.apply({"params": {"kernel": inflated, "bias": jnp.zeros(4)}}, still_clip(image))
    agree = frames_that_agree(found, image_convolution(image, kernel, padding=2, groups=4))
    assert all(agree[2:-2])
    assert any(agree[:2]) == any(agree[-2:]) == (inflation == "center")


@pytest.mark.parametrize("inflation", ["average", "center"])
@pytest.mark.parametrize("frames", [1, 3, 5])
def test_the_sum_over_time_is_the_image_kernel(frames, inflation):
    kernel = draw(2, 3, 4, 5)
    inflated = inflate(kernel, frames, inflation)
    assert inflated.shape == (2, 3, frames, 4, 5)
    assert inflated.dtype == np.float32
    np.testing.assert_allclose(inflated.sum(2), kernel, rtol=1e-6)


def test_repeated_kernels_are_not_divided():
    kernel = draw(2, 3, 4, 5)
    inflated = inflate(kernel, 3, "repeat")
    for frame in range(3):
        np.testing.assert_array_equal(inflated[:, :, frame], kernel)


@pytest.mark.parametrize(
    ("given", "expected", "answer"),
    [
        ((8, 3, 4, 4), (8, 3, 3, 4, 4), True),
        ((8, 3, 4, 4), (8, 3, 3, 4, 5), False),
        ((8, 3, 3, 4, 4), (8, 3, 3, 4, 4), False),
        ((8, 4, 4), (8, 3, 4, 4), False),
    ],
)
def test_only_a_missing_time_axis_is_taken_for_an_image_kernel(given, expected, answer):
    assert inflates(given, expected) is answer


def image_weights(num_classes=1000):
    """Weights as UniFormer's image classifier has them: convolutions without a time axis."""
    weights = {
        name: value.sum(2) if value.ndim == 5 else value for name, value in goldens.state_dict("uniformer_tiny").items()
    }
    return weights | {
        "head.weight": np.zeros((num_classes, 128), np.float32),
        "head.bias": np.zeros(num_classes, np.float32),
    }


@pytest.fixture(scope="module")
def image_model():
    return motion_vit.create_model("uniformer_tiny", num_classes=1000)


def test_a_whole_image_classifier_is_taken_in_and_what_was_inflated_is_said(image_model):
    weights = image_weights()
    variables, report = load_torch(image_model, weights, inflation="average")
    assert report.complete
    names = {name for name in weights if name.endswith("pos_embed.weight")}
    names |= {"patch_embed1.proj.weight", "blocks1.0.attn.weight", "blocks2.0.attn.weight"}
    assert report.inflated.keys() == names
    assert report.inflated["blocks1.0.attn.weight"] == ((32, 1, 5, 5), (32, 1, 5, 5, 5))
    params = variables["params"]
    stem = params["patch_embed1"]["proj"]["kernel"]
    np.testing.assert_allclose(stem[0, 1, 3, 0, 5], weights["patch_embed1.proj.weight"][5, 0, 1, 3] / 3, rtol=1e-6)
    pointwise = params["stage1"]["block0"]["mlp"]["fc1"]["kernel"]
    assert pointwise[3, 99] == weights["blocks1.0.mlp.fc1.weight"][99, 3, 0, 0]


def test_centred_kernels_are_zero_but_for_the_middle_frame(image_model):
    weights = image_weights()
    variables, _ = load_torch(image_model, weights, inflation="center")
    kernel = np.asarray(variables["params"]["stage2"]["block0"]["depthwise"]["kernel"])
    assert kernel[2, 4, 1, 7] == weights["blocks2.0.attn.weight"][7, 0, 4, 1]
    assert not kernel[[0, 1, 3, 4]].any()


def test_image_weights_are_not_inflated_unasked(image_model):
    with pytest.raises(CheckpointImportError, match="--inflate average") as caught:
        load_torch(image_model, image_weights())
    assert caught.value.report.misshapen["patch_embed1.proj.weight"] == ((32, 3, 4, 4), (32, 3, 3, 4, 4))
    assert "num_classes" not in str(caught.value).splitlines()[-1]


@pytest.mark.slow
def test_an_image_classifier_starts_a_network_with_emim_and_other_classes():
    model = motion_vit.create_model("uniformer_emim_tiny", num_classes=7)
    variables, report = load_torch(model, image_weights(), inflation="average", anew=["head", "motion"])
    assert report.complete
    assert set(report.replaced) == {"head.weight", "head.bias"}
    assert len(report.anew) == 12
    assert variables["params"]["head"]["kernel"].shape == (128, 7)
    assert jax.tree.all(jax.tree.map(lambda leaf: bool(jnp.isfinite(leaf).all()), variables))
