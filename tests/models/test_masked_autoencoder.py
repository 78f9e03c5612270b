"""Masked autoencoders against the authors' code, and what they promise."""

import functools
from collections.abc import Callable

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import motion_vit
from motion_vit import UserError
from motion_vit.interop.families.layouts import CLASS_TOKEN, LINEAR, SAME, Layout
from motion_vit.interop.families.name_rules import torch_entry
from motion_vit.interop.families.videomae import RULES
from motion_vit.models.checked_model import variable_shapes
from motion_vit.models.masked_autoencoder import ENCODER_PARTS, MaskedAutoencoder, make_masked_autoencoder
from motion_vit.training.losses.masked_pixels import masked_pixel_loss, masked_targets
from motion_vit.training.masking.token_mask import TokenMask

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
GOLDEN = "videomae_pretrain_tiny"

_BESIDE: dict[str, tuple[str, Layout]] = {
    "encoder_norm/scale": ("encoder.norm.weight", SAME),
    "encoder_norm/bias": ("encoder.norm.bias", SAME),
    "decoder/input/kernel": ("encoder_to_decoder.weight", LINEAR),
    "decoder/mask_token": ("mask_token", CLASS_TOKEN),
    "decoder/norm/scale": ("decoder.norm.weight", SAME),
    "decoder/norm/bias": ("decoder.norm.bias", SAME),
    "decoder/head/kernel": ("decoder.head.weight", LINEAR),
    "decoder/head/bias": ("decoder.head.bias", SAME),
}


def torch_name(path: str) -> tuple[str, Layout]:
    """What the authors call a parameter, and how they lay it out."""
    if path in _BESIDE:
        return _BESIDE[path]
    part = "decoder" if path.startswith("decoder/") else "encoder"
    entry = torch_entry(RULES, f"params/{path.removeprefix('decoder/')}")
    return f"{part}.{entry.name}", entry.layout


def tiny() -> MaskedAutoencoder:
    return make_masked_autoencoder(motion_vit.create_model("videomae_tiny"), decoder_depth=2, decoder_heads=3)


@functools.cache
def params() -> dict[str, jax.Array]:
    """The weights of the goldens, by path."""
    weights = goldens.state_dict(GOLDEN)
    some = np.zeros((1, 4, 4), np.int32)
    shapes = jax.eval_shape(tiny().init, jax.random.key(0), np.zeros((1, 8, 64, 64, 3), np.float32), some, some)
    paths = traverse_util.flatten_dict(shapes["params"], sep="/")
    names = {path: torch_name(path) for path in paths}
    assert {name for name, _ in names.values()} == weights.keys()
    return {path: np.asarray(layout.to_flax(weights[name])) for path, (name, layout) in names.items()}


def given_mask(name: str = "mask") -> TokenMask:
    """The goldens' mask; with `dual/decode_mask` the decoder predicts the tokens that it leaves."""
    golden = goldens.load(GOLDEN)
    hidden = golden["mask"].reshape(2, 4, 16)
    asked = hidden if name == "mask" else ~golden[name].reshape(2, 4, 16)

    def places(chosen: np.ndarray) -> np.ndarray:
        return np.nonzero(chosen)[2].reshape(2, 4, -1).astype(np.int32)

    counted = np.take_along_axis(hidden, places(asked), axis=2)
    return TokenMask(*jax.device_put((places(~hidden), places(asked), counted)))


@functools.cache
def step(mask: str) -> Callable[..., tuple[jax.Array, dict[str, jax.Array]]]:
    """Predictions, targets, both losses, and the gradients of the first, compiled."""
    shown = given_mask(mask)
    video = goldens.videomae_video()
    clips, pixels = jax.device_put((video, video * STD + MEAN))

    # What runs once need not be optimised.
    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def run(flat: dict[str, jax.Array]) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        def loss(flat: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
            variables = {"params": traverse_util.unflatten_dict(flat, sep="/")}
            predictions, inside = tiny().apply(
                variables, clips, shown.visible, shown.predicted, capture_intermediates=True, mutable=["intermediates"]
            )
            found = {
                "encoder": inside["intermediates"]["encoder_norm"]["__call__"][0],
                "prediction": predictions,
            }
            for name, normalise in (("target", True), ("plain", False)):
                targets = masked_targets(pixels, tiny().tubelet, normalise=normalise)
                found[name] = jnp.take_along_axis(targets, shown.predicted[..., None], axis=2)
            losses = {
                name: jnp.mean(masked_pixel_loss(predictions, found[name], shown.counted))
                for name in ("target", "plain")
            }
            return losses["target"], {**found, "loss": losses["target"], "loss_plain_pixels": losses["plain"]}

        (_, found), gradients = jax.value_and_grad(loss, has_aux=True)(flat)
        return found, gradients

    return run(params())


def rows(tokens: jax.Array) -> np.ndarray:
    """Tokens of all frames in a row."""
    return np.asarray(tokens).reshape(2, -1, tokens.shape[-1])


def assert_gradients_match(gradients: dict[str, jax.Array], prefix: str) -> None:
    golden = goldens.load(GOLDEN)
    named = {}
    for path, gradient in gradients.items():
        name, layout = torch_name(path)
        named[name] = layout.to_torch(np.asarray(gradient))
    norms = dict(zip(golden[f"{prefix}grad_norm_names"].tolist(), golden[f"{prefix}grad_norms"], strict=True))
    assert norms.keys() == named.keys()
    found = [np.linalg.norm(named[name]) for name in norms]
    np.testing.assert_allclose(found, list(norms.values()), rtol=1e-4)
    whole = [name for name in golden if name.startswith(f"{prefix}grad/") and not name.endswith(":norm")]
    assert whole
    for name in whole:
        goldens.assert_gradient_matches(golden, name, named[name.removeprefix(f"{prefix}grad/")])


def test_encoder_predictions_targets_and_losses_are_those_of_the_authors() -> None:
    golden = goldens.load(GOLDEN)
    found, _ = step("mask")
    chosen = golden["prediction_rows"]
    goldens.assert_matches(golden, "encoder", rows(found["encoder"]), rtol=1e-4, atol=1e-5)
    goldens.assert_matches(golden, "prediction", rows(found["prediction"])[:, chosen], rtol=1e-4, atol=1e-5)
    goldens.assert_matches(golden, "target", rows(found["target"])[:, chosen], rtol=1e-4, atol=1e-5)
    for name in ("loss", "loss_plain_pixels"):
        assert float(found[name]) == pytest.approx(float(golden[name]), rel=1e-6)


def test_gradients_are_those_of_the_authors() -> None:
    assert_gradients_match(step("mask")[1], "train/")


@pytest.mark.slow
def test_a_decoder_that_predicts_a_part_is_that_of_the_second_version() -> None:
    golden = goldens.load(GOLDEN)
    found, gradients = step("dual/decode_mask")
    np.testing.assert_array_equal(given_mask("dual/decode_mask").counted.reshape(2, -1), golden["dual/counted"])
    predicted = rows(found["prediction"])[:, golden["dual/prediction_rows"]]
    goldens.assert_matches(golden, "dual/prediction", predicted, rtol=1e-4, atol=1e-5)
    assert float(found["loss"]) == pytest.approx(float(golden["dual/loss"]), rel=1e-6)
    assert_gradients_match(gradients, "dual/train/")


def test_the_encoder_has_the_parameters_of_the_classifier_but_for_what_follows_its_blocks() -> None:
    classifier = traverse_util.flatten_dict(
        variable_shapes(motion_vit.create_model("videomae_tiny"))["params"], sep="/"
    )
    encoder = {path: array.shape for path, array in params().items() if path.startswith(ENCODER_PARTS)}
    assert encoder == {
        path: leaf.shape for path, leaf in classifier.items() if not path.startswith(("fc_norm/", "head/"))
    }


def test_hidden_pixels_change_no_prediction() -> None:
    network = make_masked_autoencoder(
        motion_vit.create_model("videomae_tiny", width=16, heads=2, depth=1, patch_size=8, image_size=16, frames=4),
        decoder_depth=1,
    )
    rng = np.random.default_rng(0)
    clips = rng.standard_normal((1, 4, 16, 16, 3), np.float32)
    visible, hidden = np.array([[[2], [0]]], np.int32), np.array([[[0, 1, 3], [1, 2, 3]]], np.int32)
    shapes = jax.eval_shape(network.init, jax.random.key(1), clips, visible, hidden)
    variables = jax.tree.map(lambda leaf: 0.3 * rng.standard_normal(leaf.shape, np.float32), shapes)
    apply = jax.jit(network.apply)
    predict = apply(variables, clips, visible, hidden)
    assert predict.shape == (1, 2, 3, 2 * 8 * 8 * 3)
    # Place 2 of the first two frames is seen: below, on the left. Place 1 is hidden in both.
    changed_hidden, changed_shown = clips.copy(), clips.copy()
    changed_hidden[:, :, :8, 8:] = 7.0
    changed_shown[:, :2, 8:, :8] = 7.0
    same, other = (apply(variables, changed, visible, hidden) for changed in (changed_hidden, changed_shown))
    np.testing.assert_allclose(same, predict, rtol=1e-5, atol=1e-5)
    assert not np.allclose(other, predict)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("uniformer_tiny", {}, "a UniFormer cannot be pretrained by masked autoencoding"),
        ("videomae_tiny", {"placement": "lg"}, "placement='lg'.*look for the neighbours"),
        ("videomae_tiny", {"motion_module": "m2a"}, "motion_module='m2a'.*look for the neighbours"),
        ("videomae_tiny", {"input_adapter": "motion_prompt"}, "a MotionPrompted cannot be pretrained"),
        ("videomae_tiny", {"image_size": 72}, "2 x 16 x 16 pixels do not fill clips of 8 frames of 72 x 72"),
    ],
)
def test_models_and_clips_without_this_form_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_masked_autoencoder(motion_vit.create_model(name, **options))


def test_a_decoder_whose_heads_do_not_divide_its_width_is_refused() -> None:
    with pytest.raises(UserError, match="5 attention heads, which do not divide its width, 48"):
        make_masked_autoencoder(motion_vit.create_model("videomae_tiny"), decoder_heads=5)
