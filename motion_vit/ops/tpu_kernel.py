"""Shared parts of the Pallas kernels for TPU: supported platforms, and a matrix product."""

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array

from motion_vit.ops.platform import likely_platform

CHIP_BYTES = 48 << 20
"""Memory of the chip that a program may take where the compilers' own limit, from 16 MB on, is too little; the chips
have 64 MB or 128."""


def kernel_platform(dtype: DTypeLike) -> str:
    """Checks that the kernels support the platform and the dtype.

    Args:
      dtype: of the kernel's arguments.

    Returns:
      The platform, "tpu" or "cpu": on CPU a kernel is interpreted, which is slow and for tests. On a machine with TPUs
      it is "tpu" unless a mesh or `target_platform` says otherwise: a kernel is asked for by name, and there for them.

    Raises:
      ValueError: the platform or the dtype is not supported.
    """
    platform = likely_platform()
    if platform == "portable":
        raise ValueError(
            "the implementation 'pallas' cannot be split over frames: leave the implementation out, and one is chosen"
        )
    if platform not in ("tpu", "cpu"):
        raise ValueError(
            f"the implementation 'pallas' runs on TPU, and interpreted on CPU, but not on {platform!r}: leave the "
            "implementation out, and one is chosen"
        )
    if dtype not in (jnp.float32, jnp.bfloat16):
        raise ValueError(f"the implementation 'pallas' takes float32 and bfloat16, not {dtype}")
    return platform


def dot(left: Array, right: Array, axes: tuple[int, int] = (1, 0)) -> Array:
    """Multiplies matrices in float32, at the full precision of their operands.

    Args:
      left: a matrix.
      right: a matrix of the same dtype.
      axes: the axis of each that is summed over.

    Returns:
      The product.
    """
    precision = lax.Precision.HIGHEST if left.dtype == jnp.float32 else lax.Precision.DEFAULT
    numbers = (((axes[0],), (axes[1],)), ((), ()))
    return lax.dot_general(left, right, numbers, precision=precision, preferred_element_type=jnp.float32)
