"""What each setting of rematerialisation keeps for the backward pass."""

import jax
import jax.numpy as jnp
import pytest

import motion_vit

CLIPS = jnp.zeros((1, 2, 64, 64, 3))
WIDTHS, DEPTHS = (8, 8, 64, 8), (1, 1, 4, 1)
TOKENS = (2 * 16 * 16, 2 * 8 * 8, 2 * 4 * 4, 2 * 2 * 2)


def kept_bytes(remat):
    """Bytes that a training step of one clip keeps between its two passes; nothing is computed."""
    model = motion_vit.create_model(
        "uniformer_emim_tiny", widths=WIDTHS, depths=DEPTHS, head_channels=8, remat=remat, scan_blocks=True
    )

    def residuals(params, batch_stats):
        def logits(params):
            return model.apply(
                {"params": params, "batch_stats": batch_stats}, CLIPS, train=True, mutable=["batch_stats"]
            )

        _, pullback, _ = jax.vjp(logits, params, has_aux=True)
        return pullback

    variables = jax.eval_shape(model.init, jax.random.key(0), CLIPS)
    kept = jax.eval_shape(residuals, variables["params"], variables["batch_stats"])
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept))


@pytest.mark.slow
def test_of_matrix_products_those_of_linear_layers_and_the_outputs_of_attention_are_kept():
    none, matmuls, blocks = (kept_bytes(remat) for remat in ("none", "matmuls", "blocks"))
    assert none - blocks > 4 * (matmuls - blocks)
    # Of a convolution block, times the width: conv1, conv2 and the hidden layer of the perceptron; of an attention
    # block qkv, the projection, the hidden layer and what attention gathers. EMIM, in the last block and every
    # second one of stage 3, does so for one pair of two frames.
    # Not kept are attention weights and the hidden layer of the motion branch, which take more than the tolerance, and
    # what the perceptron adds to the tokens, which nothing needs again.
    widths_kept = (6, 6, 8.75, 8.5)
    outputs = sum(
        depth * kept * width * tokens * 4
        for depth, kept, width, tokens in zip(DEPTHS, widths_kept, WIDTHS, TOKENS, strict=True)
    )
    assert 0.95 * outputs < matmuls - blocks <= outputs
