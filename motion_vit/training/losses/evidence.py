"""Evidence for classes, and the uncertainty that is left where there is little of it.

Evidence for a class is a number of observations, from 0 on. With one more for each class it is the concentration
`alpha` of a Dirichlet distribution over class probabilities. Source: Sensoy et al., "Evidential deep learning to
quantify classification uncertainty" (arXiv 1806.01768), and Bao et al., "Evidential deep learning for open set action
recognition" (arXiv 2107.10161), `mmaction/models/losses/edl_loss.py` of github.com/Cogito2012/DEAR.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

EvidenceName = Literal["exp", "relu", "softplus"]
"""What makes evidence of logits."""

EVIDENCE_NAMES: tuple[EvidenceName, ...] = get_args(EvidenceName)

# Beyond these, logits change the exponential evidence no more.
_LARGEST_LOGIT = 10.0


def evidence_of(logits: Float[Array, "*b classes"], name: EvidenceName) -> Float[Array, "*b classes"]:
    """Makes evidence of logits.

    Args:
      logits: one row an example. Of several views of a video it is their mean: a sum would leave the bounds of "exp".
      name: "exp" of logits from -10 to 10, "relu" or "softplus".

    Returns:
      Evidence for each class, from 0 on.
    """
    if name == "exp":
        return jnp.exp(jnp.clip(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT))
    return jax.nn.relu(logits) if name == "relu" else jax.nn.softplus(logits)


def expected_probabilities(evidence: Float[Array, "*b classes"]) -> Float[Array, "*b classes"]:
    """Computes the mean of the Dirichlet distribution, `alpha / S`.

    Args:
      evidence: for each class, from 0 on.

    Returns:
      Probabilities that sum to 1: the same for all classes where there is no evidence.
    """
    alpha = evidence + 1
    return alpha / jnp.sum(alpha, axis=-1, keepdims=True)


def uncertainty(evidence: Float[Array, "*b classes"]) -> Float[Array, "*b"]:
    """Computes `K / S`, the share of the distribution's strength that comes from no evidence.

    Args:
      evidence: for each class, from 0 on.

    Returns:
      Above 0, up to 1 where there is no evidence.
    """
    return evidence.shape[-1] / jnp.sum(evidence + 1, axis=-1)
