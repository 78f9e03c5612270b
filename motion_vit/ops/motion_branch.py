"""The weights of EMIM's motion branch."""

from typing import NamedTuple

from jaxtyping import Array, Float


class MotionBranch(NamedTuple):
    """Weights of the motion branch, shared by all heads: `P -> 4P -> d` with a QuickGELU between.

    Attributes:
      hidden_kernel: shape `[P, hidden]`, where `P = K * K`.
      hidden_bias: shape `[hidden]`.
      output_kernel: shape `[hidden, d]`, of all heads.
      output_bias: shape `[d]`, of all heads.
    """

    hidden_kernel: Float[Array, "p hidden"]
    hidden_bias: Float[Array, " hidden"]
    output_kernel: Float[Array, "hidden d"]
    output_bias: Float[Array, " d"]
