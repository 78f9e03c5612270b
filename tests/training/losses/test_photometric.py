import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from motion_vit.models.token_layout import TokenLayout
from motion_vit.ops.displacement import displacement_weights, mean_displacement
from motion_vit.training.losses import photometric

LAYOUT = TokenLayout(frames=3, rows=4, columns=4, stride=8, first_centre=4.0, seen=(32, 32))

# Compiled whole: operation by operation, every shape would compile dozens of small programs.
photometric_loss = jax.jit(photometric.photometric_loss, static_argnames=("layout", "frame_offset", "smoothness"))


def moving_waves(velocity: tuple[float, float], frames: int = 3, size: int = 32) -> np.ndarray:
    """A picture of slow waves that moves as a whole by so many pixels a frame, to the right and down."""
    rows, columns = np.indices((size, size))
    pictures = []
    for frame in range(frames):
        y, x = rows - velocity[1] * frame, columns - velocity[0] * frame
        pictures.append([np.sin(x / 5), np.cos(y / 6), np.sin((x + y) / 7)])
    return np.moveaxis(np.asarray(pictures, np.float32), 1, -1)[None]


def certain_volume(displacement: tuple[float, float], pairs: int = 2, side: int = 4, window: int = 3) -> np.ndarray:
    """A volume whose mean displacement is that of every patch, in patches of at most one, away from the border."""
    right, down = displacement
    of = [[1 - abs(shift), max(shift, 0), max(-shift, 0)] for shift in (down, right)]  # at 0, 1 and -1
    rows, columns = ({0: share[0], 1: share[1], -1: share[2]} for share in of)
    shares = [rows[v] * columns[u] for v in (-1, 0, 1) for u in (-1, 0, 1)]
    logits = np.log(np.asarray(shares, np.float32) + 1e-9)
    return np.broadcast_to(logits, (1, pairs, side, side, 1, window**2))


def loss_of(displacement: tuple[float, float], clips: np.ndarray, **settings: float) -> float:
    return float(photometric_loss(certain_volume(displacement), clips, LAYOUT, smoothness=0.0, **settings)[0])


@pytest.mark.parametrize("velocity", [(3.0, 0.0), (-4.0, 2.0), (1.0, -2.5)])
def test_the_true_motion_costs_least(velocity: tuple[float, float]) -> None:
    clips = moving_waves(velocity)
    right, down = (speed / 8 for speed in velocity)
    true = loss_of((right, down), clips)
    for wrong in ((0.0, 0.0), (-right, -down), (right + 0.25, down), (right, down - 0.25), (down, right)):
        assert true < loss_of(wrong, clips)


def test_fields_of_earlier_frames_point_backwards() -> None:
    clips = moving_waves((4.0, 0.0))
    assert loss_of((-0.5, 0.0), clips, frame_offset=-1) < loss_of((0.5, 0.0), clips, frame_offset=-1)


def test_frames_of_a_pair_may_be_further_apart() -> None:
    clips = moving_waves((3.0, 0.0))
    volumes = {speed: certain_volume((speed, 0.0), pairs=1) for speed in (0.375, 0.75)}
    losses = {
        speed: float(photometric_loss(volume, clips, LAYOUT, frame_offset=2, smoothness=0.0)[0])
        for speed, volume in volumes.items()
    }
    assert losses[0.75] < losses[0.375]


def test_tokens_may_be_of_every_second_frame_and_behind_the_first() -> None:
    clips = moving_waves((2.0, 0.0), frames=6)
    layout = dataclasses.replace(LAYOUT, temporal_stride=2, first_frame=1)
    same = moving_waves((2.0, 0.0), frames=6)[:, 1::2]
    volume = certain_volume((0.5, 0.0))
    np.testing.assert_allclose(photometric_loss(volume, clips, layout), photometric_loss(volume, same, LAYOUT))


def test_descending_it_finds_the_motion_of_every_patch() -> None:
    """From knowing nothing, in fractions of a patch; the last column and row see what leaves the frame."""
    clips, velocity = moving_waves((3.0, -2.0)), (3 / 8, -2 / 8)
    optimizer = optax.adam(0.1)

    def step(_: jax.Array, descent: tuple[jax.Array, optax.OptState]) -> tuple[jax.Array, optax.OptState]:
        volume, state = descent
        gradient = jax.grad(lambda volume: photometric_loss(volume, clips, LAYOUT).sum())(volume)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(volume, updates), state

    @jax.jit
    def field_found() -> jax.Array:
        volume = jnp.zeros((1, 2, 4, 4, 2, 9))
        volume, _ = jax.lax.fori_loop(0, 150, step, (volume, optimizer.init(volume)))
        return mean_displacement(displacement_weights(volume))[0]

    field = field_found()
    errors = np.linalg.norm(np.asarray(field) - np.asarray(velocity), axis=-1)
    assert np.median(errors) < 0.06
    assert errors[:, :, 1:3, 1:3].max() < 0.12


def test_fields_that_change_cost_more() -> None:
    clips = np.zeros((1, 3, 32, 32, 3), np.float32)
    even = certain_volume((0.5, 0.0))
    torn = np.concatenate([even[:, :, :, :2], certain_volume((-0.5, 0.0))[:, :, :, 2:]], axis=3)
    # The same colours everywhere, so that nothing but the change counts.
    assert photometric_loss(torn, clips, LAYOUT, smoothness=1.0) > photometric_loss(even, clips, LAYOUT, smoothness=1.0)


@pytest.mark.fast_cases("2", "7")
@pytest.mark.parametrize("stride", [1, 2, 6, 7, 16])
def test_patches_of_any_size_are_compared(stride: int) -> None:
    side = 2 * stride
    layout = dataclasses.replace(LAYOUT, rows=2, columns=2, stride=stride, seen=(side, side))
    # With a pixel that no patch holds.
    clips = np.random.default_rng(0).standard_normal((1, 3, side + 1, side + 1, 3), np.float32)
    loss = jax.jit(jax.value_and_grad(lambda volume: photometric_loss(volume, clips, layout)[0]))
    value, gradient = loss(certain_volume((0.5, 0.0), side=2))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_a_map_of_one_patch_has_a_loss_and_no_motion() -> None:
    layout = dataclasses.replace(LAYOUT, rows=1, columns=1, seen=(8, 8))
    clips = moving_waves((1.0, 0.0))[:, :, :8, :8]
    loss = jax.jit(jax.value_and_grad(lambda volume: photometric_loss(volume, clips, layout)[0]))
    value, gradient = loss(certain_volume((0.5, 0.0), side=1))
    assert np.isfinite(value)
    assert not np.asarray(gradient).any()
