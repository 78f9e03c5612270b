"""The weights of EMIM's motion branch."""

from typing import NamedTuple

from jaxtyping import Array, Float


class MotionBranch(NamedTuple):
    """Weights of the motion branch, shared by all heads: `P -> 4P -> d` with a QuickGELU between.

    Attributes:
      hidden_kernel: `[P, hidden]`, where `P = K * K`.
      hidden_bias: `[hidden]`.
      output_kernel: `[hidden, d]`.
      output_bias: `[d]`.
    """

    hidden_kernel: Float[Array, "p hidden"]
    hidden_bias: Float[Array, " hidden"]
    output_kernel: Float[Array, "hidden d"]
    output_bias: Float[Array, " d"]
