"""Draws the masks of a batch, as a recipe's `pretraining` has them."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from motion_vit.errors import UserError
from motion_vit.ops.tubelets import Size
from motion_vit.training.masking.motion_guided import motion_guided_scores
from motion_vit.training.masking.random_scores import frame_scores, tube_scores
from motion_vit.training.masking.running_cells import CELL, DROPPED_SHARES, STARTS, kept_places
from motion_vit.training.masking.token_mask import TokenMask, split_places

MaskKind = Literal["tube", "random", "motion"]
"""The same places in all frames, others in each frame, or places that follow what moves."""


@dataclasses.dataclass(frozen=True)
class MaskSampler:
    """Draws masks of clips of one size.

    Attributes:
      tubelet: frames, rows and columns of a tubelet in pixels.
      grid: frames, rows and columns of tubelets of a clip.
      kind: see `MaskKind`.
      ratio: share of the places of a frame that are hidden, rounded down to whole places.
      decoder_ratio: share of the tokens that the decoder leaves out, see `running_cells`; 0 predicts all hidden ones.
    """

    tubelet: Size
    grid: tuple[int, int, int]
    kind: MaskKind = "tube"
    ratio: float = 0.9
    decoder_ratio: float = 0.0

    def __post_init__(self) -> None:
        """Checks that something is seen and something hidden.

        Raises:
          UserError: the ratio hides no place or all, or cells have no such share or do not fill a frame.
        """
        places = self.grid[1] * self.grid[2]
        if not 1 <= self.visible_places < places:
            raise UserError(
                f"config field pretraining.mask_ratio is {self.ratio}, which hides "
                f"{places - self.visible_places} of the {places} places of a frame, but some must be hidden and some "
                "seen. Choose another ratio, or larger clips (data.size)."
            )
        if self.decoder_ratio not in DROPPED_SHARES:
            raise UserError(
                f"config field pretraining.decoder_mask is {self.decoder_ratio}, but must be one of "
                f"{', '.join(map(str, DROPPED_SHARES))}: whole places of a cell of {CELL} x {CELL} are left out."
            )
        if self.decoder_ratio and (self.grid[1] % CELL or self.grid[2] % CELL):
            raise UserError(
                f"config field pretraining.decoder_mask is {self.decoder_ratio}, a pattern of {CELL} x {CELL} places, "
                f"which do not fill {self.grid[1]} x {self.grid[2]}. Set it to 0, or choose another data.size."
            )

    @property
    def visible_places(self) -> int:
        """Places of a frame that the encoder sees."""
        places = self.grid[1] * self.grid[2]
        return places - int(self.ratio * places)

    def __call__(self, key: PRNGKeyArray, pixels: Float[Array, "b t h w 3"]) -> TokenMask:
        """Draws a mask for each clip.

        Args:
          key: fixes the draws.
          pixels: clips in [0, 1], which a mask of kind "motion" follows.

        Returns:
          The masks.
        """
        key, decoder_key = jax.random.split(key)
        scores = self._scores(key, pixels)
        visible, hidden = split_places(scores, self.visible_places)
        if not self.decoder_ratio:
            return TokenMask(visible, hidden, jnp.ones(hidden.shape, bool))
        predicted = self._kept(decoder_key, pixels.shape[0])
        # Numbers of visible places are few: comparing all pairs costs less than a scatter.
        seen = jnp.any(predicted[..., :, None] == visible[..., None, :], axis=-1)
        return TokenMask(visible, predicted, ~seen)

    def _scores(self, key: PRNGKeyArray, pixels: Float[Array, "b t h w 3"]) -> Float[Array, "b t2 places"]:
        if self.kind == "motion":
            return motion_guided_scores(key, pixels, self.tubelet)
        draw = tube_scores if self.kind == "tube" else frame_scores
        return draw(key, pixels.shape[0], self.grid[0], self.grid[1] * self.grid[2])

    def _kept(self, key: PRNGKeyArray, clips: int) -> Int[Array, "b t2 kept"]:
        patterns = jnp.asarray(kept_places(*self.grid, self.decoder_ratio))
        return patterns[jax.random.randint(key, (clips,), 0, STARTS)]
