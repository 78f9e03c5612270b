"""Still mixing: blends a still frame into clips, so that what does not move says less about the label."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from motion_vit.errors import UserError
from motion_vit.training.inputs.mixing import check_partners, partners
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.recipe.config import StillName


def mix_still(
    clips: Float[Array, "b t h w 3"],
    weights: Float[Array, " b"],
    key: PRNGKeyArray,
    *,
    kind: StillName,
    normalization: Normalization,
    share: tuple[float, float] = (200.0, 200.0),
    probability: float = 0.5,
    limit: float = 0.3,
    bank: UInt8[Array, "n bank_h bank_w 3"] | None = None,
    groups: int = 1,
) -> Float[Array, "b t h w 3"]:
    """Blends a still frame into clips; labels stay.

    The kinds differ in the frame, which is the same for all frames of a clip:

    * "own", background erasing (Wang et al., "Removing the Background by Adding the Background", CVPR 2021): a random
      frame of the clip itself, `(1 - mu) clip + mu frame` with `mu` uniform from 0 to `limit`, in all clips.
    * "bank", StillMix (Li et al., arXiv 2211.12883): a random frame of the bank, `lambda clip + (1 - lambda) frame`
      with `lambda` from Beta(`share`), in each clip with `probability`.
    * "batch", this library's own: as "bank", but a random frame of the clip's partner, see `mixing.mix`.

    One `mu` or `lambda` serves the batch, as in the code of github.com/lihaoxin05/StillMix. That code puts the blended
    clips before the others; here every clip stays in its place. A clip of weight 0 stands for a video that cannot be
    decoded, and is blended into no other.

    Args:
      clips: normalised clips.
      weights: 0 for padding and for clips that could not be decoded.
      key: random key.
      kind: "none" changes and draws nothing.
      normalization: of the frames of the bank.
      share: parameters of the Beta distribution of the share that a clip keeps, for "batch" and "bank".
      probability: of blending a clip, for "batch" and "bank".
      limit: the largest share of the frame, for "own".
      bank: frames for "bank", of the height and width of the clips.
      groups: number of parts of the batch within which partners are.

    Returns:
      The clips in their dtype and order.

    Raises:
      UserError: there is no bank, or its frames have another size; or partners are asked for, and a group has fewer
        than two clips.
    """
    if kind == "none":
        return clips
    share_key, frame_key, chosen_key = jax.random.split(key, 3)
    batch, frames = clips.shape[:2]
    wide = clips.astype(jnp.float32)
    if kind == "bank":
        checked = _check_bank(bank, clips.shape)
        chosen = checked[jax.random.randint(frame_key, (batch,), 0, len(checked))]
        stills = normalization(chosen[:, None])[:, 0]
    else:
        stills = frames_at(wide, jax.random.randint(frame_key, (batch,), 0, frames))
    if kind == "own":
        return blend_still(clips, stills, jnp.broadcast_to(1.0 - limit * jax.random.uniform(share_key), (batch,)))
    chosen_draw = jax.random.uniform(chosen_key, (batch,))
    own = jnp.where(chosen_draw < probability, jax.random.beta(share_key, *share), 1.0)
    if kind == "batch":
        check_partners(batch, groups)
        stills = partners(stills, groups)
        own = jnp.where((weights > 0) & (partners(weights, groups) > 0), own, 1.0)
    return blend_still(clips, stills, own)


def blend_still(
    clips: Float[Array, "b t h w c"], stills: Float[Array, "b h w c"], own: Float[Array, " b"]
) -> Float[Array, "b t h w c"]:
    """Adds a still frame to every frame of a clip.

    Args:
      clips: normalised clips.
      stills: a frame for each.
      own: share that each clip keeps; 1 leaves it as it is.

    Returns:
      `own * clips + (1 - own) * stills`, computed in float32, in the dtype of the clips.
    """
    own = own[:, None, None, None, None]
    mixed = own * clips.astype(jnp.float32) + (1.0 - own) * stills.astype(jnp.float32)[:, None]
    return mixed.astype(clips.dtype)


def frames_at(clips: Float[Array, "b t h w c"], numbers: Int[Array, " b"]) -> Float[Array, "b h w c"]:
    """Takes one frame of each clip.

    Args:
      clips: any clips.
      numbers: the frame of each, from 0.

    Returns:
      The frames.
    """
    # A sum over all frames and no gather: where frames are split over devices, only one frame of each clip travels.
    is_chosen = jnp.arange(clips.shape[1])[None, :] == numbers[:, None]
    return jnp.sum(jnp.where(is_chosen[:, :, None, None, None], clips, 0.0), axis=1)


def _check_bank(bank: UInt8[Array, "n h w 3"] | None, shape: tuple[int, ...]) -> UInt8[Array, "n h w 3"]:
    """Refuses a bank that is missing, or whose frames cannot be added to the clips."""
    if bank is None:
        raise UserError('still is "bank", but the batch has no entry stills: uint8 frames [n, height, width, 3].')
    if bank.shape[1:] != shape[2:]:
        raise UserError(
            f"the bank of still frames has frames of {bank.shape[1]} x {bank.shape[2]} pixels, but the clips have "
            f"{shape[2]} x {shape[3]}. Make a bank of that size."
        )
    return bank
