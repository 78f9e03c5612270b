"""What a model computes on the way to its logits, by name.

Names and shapes in a UniFormer, where `b` is the batch and `t`, `h`, `w` are the frames, rows and columns of tokens at
that stage: pixels over 4, 8, 16 and 32 at stages 1 to 4, frames over the stem's temporal stride.

- `patch_embed{s}_output` `[b, t, h, w, c]`: the tokens that enter stage `s`.
- `stage{s}/block{i}_output` `[b, t, h, w, c]`: the tokens after a block.
- `stage{s}/block{i}/attention/cost_volume` `[b, n, h, w, heads, K * K]`: the affinity of frame pair `n`, that is of
  frame `n` with frame `n + frame_offset`. Entry `p = u * K + v` belongs to the patch at `(h, w)` of the first and the
  patch at `(h + u - K // 2, w + v - K // 2)` of the second.
- `stage{s}/block{i}/attention/cost_volume_backward`, where the model pairs both ways: the same of frame
  `n + frame_offset` with frame `n`.
- `stage{s}/block{i}/attention/attention_weights` `[b, heads, q, k]`: global attention of token `q` to token `k`, where
  token `(t, h, w)` has the number `(t * height + h) * width + w`.
- `norm_output` `[b, t, h, w, c]`: the tokens whose average the head classifies.
"""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
from flax import traverse_util
from jaxtyping import Array, Float


def apply_with_intermediates(
    model: nn.Module, variables: Mapping[str, Any], clips: Float[Array, "b t h w 3"]
) -> tuple[Float[Array, "b classes"], dict[str, Array]]:
    """Runs a model in evaluation mode and returns its logits and every named intermediate.

    Args:
      model: a model of `motion_vit.create_model`.
      variables: its variables.
      clips: normalised clips.

    Returns:
      Logits, and a flat mapping from the names above to arrays. Attention weights of long clips are large: the square
      of the number of tokens, times the heads.
    """
    logits, state = model.apply(variables, clips, train=False, mutable=["intermediates"])
    flat = traverse_util.flatten_dict(state["intermediates"], sep="/")
    return logits, {name: values[0] for name, values in flat.items()}
