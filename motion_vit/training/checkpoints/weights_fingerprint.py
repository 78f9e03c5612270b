"""Tells weights by their content, wherever they lie."""

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util


def weights_fingerprint(variables: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a model's variables: of names, dtypes, shapes and values.

    Args:
      variables: `params` and `batch_stats`; arrays of JAX that this process can read, or of NumPy.
    """
    digest = hashlib.sha256()
    for path, leaf in sorted(traverse_util.flatten_dict(dict(variables), sep="/").items()):
        array = np.ascontiguousarray(jax.device_get(leaf))
        digest.update(f"{path} {array.dtype} {array.shape}\n".encode())
        digest.update(array.view(np.uint8).data if array.size else b"")
    return digest.hexdigest()
