"""Intermediates of a model, on the way to its logits, by name.

Names and shapes in a UniFormer, where `b` is the batch and `t`, `h`, `w` are the frames, rows and columns of tokens at
that stage. Rows and columns are pixels over 4, 8, 16 and 32 at stages 1 to 4, frames are those of the clip over the
stem's temporal stride.

- `patch_embed{s}_output` `[b, t, h, w, c]`: the tokens that enter stage `s`.
- `stage{s}/block{i}_output` `[b, t, h, w, c]`: the tokens after a block.
- `stage{s}/block{i}/attention/cost_volume` `[b, n, h, w, heads, K * K]`: the affinity of frame pair `n`, that is of
  frame `n` with frame `n + frame_offset`. Entry `p = u * K + v` belongs to the patch at `(h, w)` of the first and the
  patch at `(h + u - K // 2, w + v - K // 2)` of the second.
- `stage{s}/block{i}/attention/cost_volume_backward`, where the model pairs both ways: the same of frame
  `n + frame_offset` with frame `n`.
- `stage{s}/block{i}/attention/attention_weights` `[b, heads, q, k]`: global attention of token `q` to token `k`, where
  token `(t, h, w)` has the number `(t * height + h) * width + w`. Beside it lie `query` and `key` `[b, q, heads, d]`,
  which it is the softmax of: of a long clip, rows of the weights can be made of them one by one.
- `norm_output` `[b, t, h, w, c]`: the tokens whose average the head classifies.

In a TimeSformer, where `t` is the number of frames, `h` and `w` are the rows and columns of patches, and `n` is
`1 + t * h * w`: the class token, then patch `(t, h, w)` as number `1 + (t * height + h) * width + w`. With
"space_only" attention the frames are part of the batch, one clip after the other: `b * t` for `b` and 1 for `t`.

- `embedding_output` `[b, n, c]`: the tokens that enter the first block.
- `blocks/block{i}_output` `[b, n, c]`: the tokens after a block.
- `blocks/block{i}/attention/attention_weights`: attention of token `q` to token `k`. Of "divided_space_time" attention
  `[b * t, heads, 1 + h * w, 1 + h * w]`, frame by frame, the class token first; else `[b, heads, n, n]`. Here and over
  time, `query` and `key` lie beside it as in a UniFormer.
- `blocks/block{i}/temporal_attention/attention_weights` `[b * h * w, heads, t, t]`: attention of a patch in frame `q`
  to the same patch in frame `k`.
- `blocks/block{i}/temporal_attention/cost_volume`, where that is what the attention over time is, and
  `cost_volume_backward`: as in a UniFormer.
- `norm_output` `[b, c]`: the features that the head classifies.

In a VideoMAE, where `t` is the number of frames of tubelets, `h` and `w` are their rows and columns, and there is no
class token:

- `embedding_output` `[b, t, h, w, c]`: the tokens that enter the first block.
- `blocks/block{i}_output` `[b, t, h, w, c]`: the tokens after a block.
- `blocks/block{i}/attention/attention_weights`, or, in a block that has EMIM, `blocks/block{i}/attention/cost_volume`
  and `cost_volume_backward`: as in a UniFormer.
- `norm_output` `[b, t, h, w, c]`: the tokens whose average the head classifies.

In a Video Swin, where `t` is the number of frames of tubelets, and rows and columns are halved from stage to stage:

- `embedding_output` `[b, t, h, w, c]`: the tokens that enter stage 1.
- `merging{s}_output` `[b, t, h, w, c]`: the tokens that enter stage `s`, from 2 on.
- `stage{s}/block{i}_output` `[b, t, h, w, c]`: the tokens after a block.
- `stage{s}/block{i}/attention/attention_weights` `[b * windows, heads, n, n]`: attention of token `q` to token `k` of
  the same window. Windows are counted frame by frame, row by row, and so are the tokens in one. Beside it lies
  `attention_received` `[b, t, h, w, heads]`: the sum of the attention that a token gets from those of its window.
- `stage{s}/block{i}/attention/cost_volume` and `cost_volume_backward`, in a block that has EMIM: as in a UniFormer.
- `norm_output` `[b, t, h, w, c]`: the tokens whose average the head classifies.

In an MViT, `t` is half the number of frames, and `h` and `w` are pixels over 4, 8, 16 and 32 at stages 1 to 4. As in a
TimeSformer the class token comes first, so that `n` is `1 + t * h * w`.

- `embedding_output` `[b, n, c]`: the tokens that enter the first block.
- `blocks/block{i}_output` `[b, n, c]`: the tokens after a block; blocks are counted through all stages.
- `blocks/block{i}/attention/attention_weights` `[b, heads, n, m]`: attention of each token to `m` keys, the class token
  and those of a coarser or finer grid. Beside it lie `query` `[b, n, heads, d]` and `key` `[b, m, heads, d]`, which it
  is the softmax of. Their last channels are those of the relative positions.
- `norm_output` `[b, c]`: the features that the head classifies.

In a ViViT, where `t` is the number of frames of tubelets and `h` and `w` are their rows and columns. With a class token
they are sequences `[b, n, c]` as in a TimeSformer, in a "factorised_encoder" those of one frame each, `[b * t, n, c]`
and `n = h * w` or one more. Others are on a grid as in a VideoMAE.

- `embedding_output`: the tokens that enter the first block.
- `blocks/block{i}_output`: the tokens after a block.
- `blocks/block{i}/attention/attention_weights`: attention of token `q` to token `k`, `[b, heads, n, n]`, or of those of
  a frame, frame by frame, `[b * t, heads, n, n]`. With "factorised_dot_product" they are those of half of the heads.
  `query` and `key` lie beside it, here and over time.
- `blocks/block{i}/temporal_attention/attention_weights`, of "factorised_self_attention", and
  `blocks/block{i}/attention/temporal_attention/attention_weights`, of "factorised_dot_product",
  `[b * h * w, heads, t, t]`: attention of a tubelet to those of the same place.
- `blocks/block{i}/attention/cost_volume` or `blocks/block{i}/temporal_attention/cost_volume`, where that is what the
  attention is, and `cost_volume_backward`: as in a UniFormer.
- `adapter/attention/cost_volume`, of a "factorised_encoder" with the adapter "emim", and `cost_volume_backward`: as
  in a UniFormer.
- `frames_output` `[b, t, c]`, of a "factorised_encoder": what the temporal encoder is given. With the adapter
  "attention" `[b, t, m, c]`: of each frame the tokens of `m` learned queries, all of which the temporal encoder sees.
- `temporal_blocks/block{i}_output` and `temporal_blocks/block{i}/attention/attention_weights`: the same of the temporal
  encoder, whose tokens are a class token and the frames.
- `norm_output`: the features that the head classifies, `[b, c]`; of one encoder without a class token
  `[b, t, h, w, c]`, the tokens whose average it classifies.

In a ResNet, where `h` and `w` are pixels over 4, 8, 16 and 32 at stages 1 to 4:

- `stem_output` `[b, t, h, w, c]`: the features that enter stage 1.
- `stage{s}/block{i}_output` `[b, t, h, w, c]`: the features after a block.

In a MobileNetV2, where `h` and `w` are pixels over 2, 4, 8, 16, 16, 32 and 32 at stages 1 to 7:

- `stem_output` `[b, t, h, w, c]`: the features that enter stage 1.
- `stage{s}/block{i}_output` `[b, t, h, w, c]`: the features after a block.
- `last_output` `[b, t, h, w, c]`: the features of the last convolution, whose average the head classifies.

In a VideoResNet (R3D, MC3, R(2+1)D, I3D-ResNet-18) they are called alike. Without pooling in the stem, `h` and `w` are
pixels over 2, 4, 8 and 16 at stages 1 to 4; `t` is the clip's frames over 1, 2, 4 and 8 where stages halve them.

In a SlowFast, with the resolutions of a ResNet, names start with `slow_` or `fast_`, and `t` is the number of frames of
that pathway. Of a single pathway they are called as in a ResNet, and `t` is half the frames behind a pool over time.

- `slow_stem_output`, `fast_stage{s}/block{i}_output` and so on `[b, t, h, w, c]`: the features of a pathway, without
  what a lateral connection adds to them.
- `lateral_stem_output`, `lateral_stage{s}_output` `[b, t, h, w, c]`: what a lateral connection adds to the Slow
  pathway, as more channels.
- `temporal_pool_output` `[b, t, h, w, c]`, of a single pathway: the features that enter stage 2.
- `features_output` `[b, t, h, w, c]`, of two pathways: the features whose average the head classifies, of the Slow
  pathway and, averaged over as many frames as one of the Slow pathway stands for, of the Fast one.

In an InceptionI3D, where `h` and `w` are pixels over 2, 4, 8, 16 and 32 at names with 1 (the stem) to 5, and `t` is
the number of the clip's frames over 2, 2, 2, 4 and 8:

- `stem_output`, `conv2b_output`, `conv2c_output` `[b, t, h, w, c]`: the features after a convolution.
- `pool{n}_output` `[b, t, h, w, c]`: the features after a pool.
- `mixed{n}{letter}_output` `[b, t, h, w, c]`: the features after a block, of `mixed3b` to `mixed5c`.
- `features_output` `[b, t, h, w, c]`: the features whose average the head classifies, for each step of time.

In an X3D, where `h` and `w` are pixels over 2 behind the stem and over 4, 8, 16 and 32 at stages 1 to 4:

- `stem_output`, `stage{s}/block{i}_output` `[b, t, h, w, c]`: as in a ResNet.
- `features_output` `[b, t, h, w, c]`, where a frame is one square: the hidden features of the classifier place by
  place, whose average it reads.

In any of them, with a motion module (in an InceptionI3D, with `mixed{n}{letter}` for `.../block{i}`):

- `.../block{i}/motion/gate` `[b, t, h, w, c]`: what the features are multiplied by before they are added to themselves,
  from 0 to 1.
- `.../block{i}/motion/frame_attention` `[b, t, t]` (M2A: `motion_module="m2a"`, "attention" or "tea+attention"):
  attention of frame `t` (row) to every frame.

Behind video motion prompts (`input_adapter="motion_prompt"`) these names start with `backbone/`, and besides there is:

- `prompt/attention_map` `[b, t, h, w]`: the attention of every pixel of frame `t + 1` of the clip.

All that ends in `_output` can also be changed from outside: what the collection `perturbations` holds under such a name
is added to it, so that gradients with respect to it can be taken. The collection holds all of them or is not given.
"""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
from flax import traverse_util
from jaxtyping import Array, Float

from motion_vit.models.video_model import VideoModel


def name_output(module: nn.Module, name: str, value: Array) -> Array:
    """Makes what a module has computed known by name, to look at it and to take gradients with respect to it.

    Without the collections `intermediates` and `perturbations` it does nothing.

    Args:
      module: the module whose method is running.
      name: one of the names above, its last part.
      value: what was computed.

    Returns:
      The value to go on with.
    """
    if module.is_initializing():
        return value
    module.sow("intermediates", name, value)
    perturbed: Array = module.perturb(name, value)
    return perturbed


def apply_with_intermediates(
    model: VideoModel, variables: Mapping[str, Any], clips: Float[Array, "b t h w 3"]
) -> tuple[Float[Array, "b classes"], dict[str, Array]]:
    """Runs a model in evaluation mode and returns its logits and every named intermediate.

    Args:
      model: a model of `motion_vit.create_model`.
      variables: `params` and `batch_stats` of the model.
      clips: normalised clips.

    Returns:
      Logits, and a flat mapping from the names above to arrays, {} of a model that names nothing. Attention weights of
      long clips are large: the square of the number of tokens, times the heads.
    """
    logits, state = model.apply(variables, clips, train=False, mutable=["intermediates"])
    # A model that names nothing has no such collection.
    flat = traverse_util.flatten_dict(state.get("intermediates", {}), sep="/")
    return logits, {name: values[0] for name, values in flat.items()}
