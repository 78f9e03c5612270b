"""The learned curve of video motion prompts, from a change of brightness to attention."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from motion_vit.errors import UserError
from motion_vit.models.motion_prompted import MotionPrompted
from motion_vit.models.video_model import VideoModel
from motion_vit.modules.motion_prompt import attention_of_change, slope_and_shift
from motion_vit.visualization.recording import HELD_BY


class PromptCurve(NamedTuple):
    """The attention of motion prompts as a function of change.

    Attributes:
      change: changes of the grey value from a frame to the next, of pixels in [0, 1]: from -1 to 1.
      attention: attention to each change, from 0 to 1.
      slope: `a` of `sigmoid(a * (change - b))`.
      shift: `b`, the change that gets an attention of one half.
    """

    change: Float[np.ndarray, " points"]
    attention: Float[np.ndarray, " points"]
    slope: float
    shift: float


def prompt_curve(model: VideoModel, variables: Mapping[str, Any], *, points: int = 201) -> PromptCurve:
    """Computes the learned curve of a model behind motion prompts.

    Args:
      model: a model with the input adapter "motion_prompt".
      variables: `params` and `batch_stats` of the model.
      points: number of changes on the curve.

    Returns:
      Changes, attention, slope and shift.

    Raises:
      UserError: the model has no motion prompts.
    """
    if model.input_adapter != MotionPrompted.input_adapter:
        raise UserError(f"the model has no motion prompts. There are some in {HELD_BY['attention_map']}.")
    prompt = variables["params"]["prompt"]
    slope, shift = slope_and_shift(prompt["m"], prompt["n"])
    change = np.linspace(-1, 1, points, dtype=np.float32)
    attention = attention_of_change(jnp.asarray(change), slope, shift)
    return PromptCurve(change, np.asarray(attention), float(slope), float(shift))
