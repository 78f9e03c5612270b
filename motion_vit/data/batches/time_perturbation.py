"""Perturbs the order of the frames of a clip, for strong views of unlabelled clips.

Motion is what many classes are told apart by: a clip that is played backwards may show another class. Repeated frames
change its pace alone.
"""

import numpy as np
from jaxtyping import Int

from motion_vit.data.batches.batch_ranges import TimePerturbation

# SVFormer (arXiv 2211.13222) leaves a third of the clips as they are, and of the others keeps two or four
# frames.
_REPEATED = (0, 2, 4)


def perturbed_order(frames: int, kind: TimePerturbation, rng: np.random.Generator) -> Int[np.ndarray, " t"]:
    """Draws the order in which the frames of a clip are shown.

    Args:
      frames: of the clip.
      kind: "off" keeps it. "repeat" chooses two or four frames, in two of three clips, and shows at every place the
        last or the next one of them. "shuffle" permutes the frames of half of the clips, and "reverse" plays half of
        them backwards.
      rng: source of every draw.

    Returns:
      For each place the number of the frame that it shows.
    """
    places = np.arange(frames)
    if kind == "repeat":
        kept = int(rng.choice(_REPEATED))
        return _repeated(frames, kept, rng) if 0 < kept < frames else places
    if kind == "off" or rng.random() < 0.5:
        return places
    return rng.permutation(places) if kind == "shuffle" else places[::-1]


def _repeated(frames: int, kept: int, rng: np.random.Generator) -> Int[np.ndarray, " t"]:
    """Shows so many frames, each at its own place and at places around it."""
    chosen = np.sort(rng.choice(frames, kept, replace=False))
    # The first place of each but the first: behind the place of the frame before, and not behind its own.
    borders = rng.integers(chosen[:-1] + 1, chosen[1:], endpoint=True)
    return chosen[np.searchsorted(borders, np.arange(frames), side="right")]
