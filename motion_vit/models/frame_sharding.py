"""Frames split over devices, so that clips can be longer than one device holds ("sequence parallelism").

Each device keeps a run of neighbouring frames. The compiler adds what crosses its borders: convolutions and cost
volumes need the frames next to them, global attention the keys and values of all, normalisation and the loss sums.
"""

import contextlib

import jax
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.ops.platform import target_platform


def splittable_operators(frame_axis: str | None) -> contextlib.AbstractContextManager[None]:
    """Makes operators choose implementations that the compiler can split over frames, if there is an axis for them.

    Those that are the fastest on one CPU loop over slices of the frames, and cuDNN's attention refuses to be split.
    """
    return contextlib.nullcontext() if frame_axis is None else target_platform("portable")


def constrain_frames(x: Float[Array, "b t *rest"], frame_axis: str | None) -> Float[Array, "b t *rest"]:
    """Splits the frames of `x` over an axis of the mesh and leaves its other axes to the compiler.

    Args:
      x: activations.
      frame_axis: name of the axis; None leaves `x` alone.

    Returns:
      `x`.

    Raises:
      UserError: no mesh with such an axis is set, or its devices do not divide the frames.
    """
    if frame_axis is None:
        return x
    mesh = jax.sharding.get_abstract_mesh()
    if frame_axis not in mesh.axis_names:
        raise UserError(
            f"frame_axis is {frame_axis!r}, but the axes of the mesh are {mesh.axis_names}. "
            f"Run the model under jax.set_mesh(mesh) with a mesh that has an axis {frame_axis!r}."
        )
    if x.shape[1] % mesh.shape[frame_axis]:
        raise UserError(
            f"{x.shape[1]} frames of tokens cannot be split evenly over the {mesh.shape[frame_axis]} devices along "
            f"the mesh axis {frame_axis!r}. Choose a number of devices that divides them."
        )
    free = PartitionSpec.UNCONSTRAINED
    return lax.with_sharding_constraint(x, PartitionSpec(free, frame_axis, *(free,) * (x.ndim - 2)))
