import functools

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.modules.motion_prompt import MotionPrompt


def case(number: int) -> dict[str, np.ndarray]:
    """A golden case: frames whose grey values are weighted in the released code's order, and what it made of them."""
    prefix = f"case{number}/"
    arrays = goldens.load("video_motion_prompt")
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def released(golden: dict[str, np.ndarray], **fields: object) -> MotionPrompt:
    return MotionPrompt(regularization=float(golden["lambda"]), **{"grey_weights": "bgr", **fields})


def parameters(golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: golden[name] for name in ("m", "n")}


def compute(layer: MotionPrompt, variables: dict, clips: np.ndarray) -> np.ndarray:
    """In one program, which compiles faster than each of its operations by itself."""
    return np.asarray(jax.jit(layer.apply)(variables, clips))


@pytest.mark.parametrize("number", range(3))
def test_prompts_regulariser_and_gradients_are_the_authors(number: int) -> None:
    golden = case(number)
    layer = released(golden)

    def loss(params: dict[str, jax.Array], clips: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        prompts, stored = layer.apply({"params": params}, clips, mutable=["losses"])
        added = jax.tree.leaves(stored)
        variation = added[0].mean() if added else jnp.zeros(())
        return jnp.sum(prompts * golden["cotangent"]) + variation, (prompts, variation)

    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (_, (prompts, variation)), (of_parameters, of_clips) = step(parameters(golden), golden["video"])
    goldens.assert_matches(golden, "prompt", prompts, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(variation, golden["loss"], rtol=1e-4)
    goldens.assert_gradient_matches(golden, "grad/video", of_clips)
    for name, gradient in of_parameters.items():
        np.testing.assert_allclose(gradient, golden[f"grad/{name}"][0], rtol=1e-3)


def test_grey_is_that_of_the_colours_wherever_the_clips_have_them() -> None:
    golden = case(1)
    video = golden["video"]
    numbers = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)}
    variables = {"params": parameters(golden)}
    rgb = compute(MotionPrompt(**numbers), variables, video)
    bgr = compute(MotionPrompt(**numbers, channel_order="bgr"), variables, video[..., ::-1])
    np.testing.assert_allclose(bgr[..., ::-1], rgb, rtol=1e-5, atol=1e-6)
    # The released code takes red for blue, which shows.
    turned = compute(MotionPrompt(**numbers, grey_weights="bgr"), variables, video)
    assert np.abs(turned - rgb).max() > 0.1


def test_a_green_flash_counts_most() -> None:
    """With the weights of BT.601, green is the brightest of the three colours and blue the darkest."""
    variables = {"params": {"m": np.float32(1.0), "n": np.float32(0.0)}}
    layer = MotionPrompt(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    clips = np.zeros((3, 2, 1, 1, 3), np.float32)
    clips[range(3), 1, 0, 0, range(3)] = 1  # each example changes in one colour
    red, green, blue = compute(layer, variables, clips).max(axis=(1, 2, 3, 4))
    assert green > red > blue > 0.5


def test_attention_is_the_slope_of_a_sigmoid_between_its_limits() -> None:
    layer = MotionPrompt()
    clips = jax.device_put(np.random.default_rng(0).standard_normal((1, 3, 4, 4, 3)).astype(np.float32))
    run = jax.jit(functools.partial(layer.apply, mutable=["summaries", "intermediates"]))
    for m, slope in ((0.0, 50.0), (30.0, 5 / 0.55), (-30.0, 5 / 0.55)):
        _, stored = run({"params": {"m": np.float32(m), "n": np.float32(30)}}, clips)
        assert stored["summaries"]["slope"][0] == pytest.approx(slope, rel=1e-5)
        assert stored["summaries"]["shift"][0] == pytest.approx(0.6, rel=1e-5)
        attention = np.asarray(stored["intermediates"]["attention_map"][0])
        assert attention.shape == (1, 2, 4, 4)
        assert 0 <= attention.min() < attention.max() <= 1


def test_without_weight_or_with_a_single_prompt_nothing_is_added_to_the_loss() -> None:
    variables = {"params": {"m": np.float32(0.5), "n": np.float32(0.5)}}
    for layer, frames in ((MotionPrompt(), 4), (MotionPrompt(regularization=1.0), 2)):
        clips = np.zeros((1, frames, 4, 4, 3), np.float32)
        _, stored = jax.eval_shape(functools.partial(layer.apply, mutable=["losses"]), variables, clips)
        assert not stored


def test_a_single_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 frames, so that they differ, got 1"):
        jax.eval_shape(MotionPrompt().init, jax.random.key(0), np.zeros((1, 1, 4, 4, 3), np.float32))
