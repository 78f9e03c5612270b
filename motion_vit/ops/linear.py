"""The linear layer's arithmetic."""

from jaxtyping import Array, Float

from motion_vit.ops.platform import likely_platform


def linear(
    x: Float[Array, "*batch inputs"], kernel: Float[Array, "inputs outputs"], bias: Float[Array, " outputs"] | None
) -> Float[Array, "*batch outputs"]:
    """Applies `x @ kernel + bias` to every token; without a bias (None), `x @ kernel`.

    On CPU the leading axes are flattened first. Otherwise XLA transposes all activations for the gradient of the
    kernel, which takes eight times as long as the product. LiteRT refuses products with several leading axes where some
    are of length 1. Elsewhere they stay, so that a compiler can shard them.
    """
    batch = x.shape[:-1]
    if likely_platform() in ("cpu", "litert"):
        x = x.reshape(-1, x.shape[-1])
    product = x @ kernel
    if bias is not None:
        product = product + bias.reshape((1,) * (product.ndim - 1) + kernel.shape[1:])
    return product.reshape(*batch, kernel.shape[1])
