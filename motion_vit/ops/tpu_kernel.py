"""What the Pallas kernels for TPU share: where they run, on which clips, and their matrix product."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType, PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array

from motion_vit.ops.platform import current_platform

CHIP_BYTES = 48 << 20
"""Memory of the chip that a program may take where the compilers' own limit, from 16 MB on, is too little; the chips
have 64 MB or 128."""


def kernel_platform(dtype: DTypeLike) -> str:
    """Refuses platforms and dtypes that the kernels are not made for.

    Args:
      dtype: of what a kernel is given.

    Returns:
      The platform, "tpu" or "cpu": on CPU a kernel is interpreted, which is slow and for tests.

    Raises:
      ValueError: another platform or dtype.
    """
    platform = current_platform()
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


def on_every_device(kernel: Callable[..., Array], *, clips: int, split: Sequence[bool]) -> Callable[..., Array]:
    """Splits clips over the devices of the mesh that is set; the compiler cannot split a kernel by itself.

    Axes of the mesh that do not divide the clips are left out: along these, devices do the same.

    Args:
      kernel: a function of arrays, or of trees of them.
      clips: how many there are.
      split: for each argument whether it has clips along its first axis; of others every device has the whole.

    Returns:
      The function, of arrays over all devices, whose result has clips along its first axis.
    """
    mesh = jax.sharding.get_abstract_mesh()
    # Inside of another `jax.shard_map` every device has its share already.
    free = [name for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True) if kind != AxisType.Manual]
    if math.prod(mesh.shape[name] for name in free) == 1:
        return kernel
    dividing: tuple[str, ...] = ()
    for name in free:
        if clips % math.prod(mesh.shape[axis] for axis in (*dividing, name)) == 0:
            dividing += (name,)
    own, whole = PartitionSpec(dividing), PartitionSpec()
    in_specs = tuple(own if is_split else whole for is_split in split)
    # What a kernel returns is not known to vary from device to device, so that it cannot be checked.
    return jax.shard_map(kernel, in_specs=in_specs, out_specs=own, axis_names=set(free), check_vma=False)


def dot(left: Array, right: Array, axes: tuple[int, int] = (1, 0)) -> Array:
    """A matrix product in float32, of the full precision of its operands.

    Args:
      left: a matrix.
      right: another of the same dtype.
      axes: the axis of each that is summed over.

    Returns:
      The product.
    """
    precision = lax.Precision.HIGHEST if left.dtype == jnp.float32 else lax.Precision.DEFAULT
    numbers = (((axes[0],), (axes[1],)), ((), ()))
    return lax.dot_general(left, right, numbers, precision=precision, preferred_element_type=jnp.float32)
