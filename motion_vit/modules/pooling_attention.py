"""Pooling attention: self-attention whose queries, keys and values are pooled on their grid first."""

import math
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.attention_heads import channels_of_head
from motion_vit.modules.head_pooling import HeadPooling
from motion_vit.modules.linear import Linear
from motion_vit.modules.query_key_value import QueryKeyValue
from motion_vit.ops import global_attention
from motion_vit.ops.kept_activations import ATTENTION_OUTPUT
from motion_vit.ops.relative_positions import distance_embeddings

Grid = tuple[int, int, int]
"""Frames, rows and columns."""

Queries = Float[Array, "b n heads d"]
Keys = Float[Array, "b m heads d"]


class PoolingAttention(nn.Module):
    """Attention among the tokens of a clip with pooled queries, keys and values (MViTv2's `MultiScaleAttention`).

    The first token is a class token, which is not pooled and has no relative positions. To the logits of all others the
    products of the query with three embeddings are added, those of its distance from the key along each axis. To their
    outputs the pooled queries are added. Source: arXiv 2112.01526, section 4.1.

    When the collection `intermediates` is mutable, it stores `query` `[b, n, heads, d2]` and `key` `[b, m, heads, d2]`,
    and `attention_weights` `[b, heads, n, m]`, the softmax of their scaled scalar products. Both include the relative
    positions: of keys, more channels tell the place, for which queries have the terms above.

    Attributes:
      features: output channels, also of queries, keys and values.
      heads: number of heads; divides the features.
      grid: frames, rows and columns of the tokens.
      query_stride: distance of the pooled queries in rows, and in columns.
      key_stride: the same of keys and values.
      table_rows: distances that are learned along each of the three axes; others are made by resizing.
      kernel_init: initialiser of the kernels of `qkv` and `proj`.
      dtype: dtype of the computation; the softmax is float32.
      implementation: see `motion_vit.ops.global_attention.global_attention`.
      depthwise_implementation: see `motion_vit.ops.depthwise_conv3d.depthwise_conv3d`.
    """

    features: int
    heads: int
    grid: Grid
    query_stride: int
    key_stride: int
    table_rows: Grid
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    dtype: DTypeLike = jnp.float32
    implementation: str | None = None
    depthwise_implementation: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b n c"]) -> Float[Array, "b m features"]:
        """Attends; includes the output bias and projection, not the residual.

        Args:
          x: a class token and the patches of the grid, frame by frame and row by row.

        Returns:
          The class token and the patches of the queries' grid.

        Raises:
          ValueError: the heads do not divide the features.
        """
        channels_of_head(self.features, self.heads)
        qkv = QueryKeyValue(kernel_init=self.kernel_init, dtype=self.dtype, features=self.features, name="qkv")(x)
        class_token = lax.slice_in_dim(qkv, 0, 1, axis=1)
        patches = lax.slice_in_dim(qkv, 1, None, axis=1).reshape(x.shape[0], *self.grid, qkv.shape[-1])
        pooled = []
        strides = {"query_pool": self.query_stride, "key_pool": self.key_stride, "value_pool": self.key_stride}
        for place, (name, stride) in enumerate(strides.items()):
            first, end = place * self.features, (place + 1) * self.features
            own = (lax.slice_in_dim(part, first, end, axis=-1) for part in (patches, class_token))
            pooled.append(HeadPooling(self.heads, stride, self.dtype, self.depthwise_implementation, name=name)(*own))
        pooled_query, key, value = pooled
        query, key = self._with_positions(pooled_query, key)
        if self.is_mutable_collection("intermediates") and not self.is_initializing():
            self.sow("intermediates", "query", query)
            self.sow("intermediates", "key", key)
            self.sow("intermediates", "attention_weights", global_attention.attention_weights(query, key))
        y = global_attention.global_attention(query, key, value, implementation=self.implementation)
        is_patch = (np.arange(y.shape[1]) > 0).reshape(1, -1, 1, 1)
        y = y + jnp.where(is_patch, pooled_query, jnp.zeros((), y.dtype))
        y = checkpoint_name(y.reshape(*y.shape[:2], self.features), ATTENTION_OUTPUT)
        output: Array = Linear(self.features, self.kernel_init, self.dtype, name="proj")(y)
        return output

    @property
    def query_grid(self) -> Grid:
        """Frames, rows and columns of the queries, and of the output."""
        return pooled_grid(self.grid, self.query_stride)

    @property
    def key_grid(self) -> Grid:
        """Frames, rows and columns of the keys and values."""
        return pooled_grid(self.grid, self.key_stride)

    def multiply_adds(self, x: Float[Array, "b n c"]) -> int:
        """Counts the multiply-adds of the attention alone on an input of this shape; the layers in it count theirs."""
        queries, keys = (1 + math.prod(grid) for grid in (self.query_grid, self.key_grid))
        return 2 * x.shape[0] * queries * keys * self.features

    def _with_positions(
        self, query: Queries, key: Keys
    ) -> tuple[Float[Array, "b n heads d2"], Float[Array, "b m heads d2"]]:
        """Gives queries and keys more channels, whose products are the terms of the relative positions.

        So attention of any implementation adds them, whose scale is accounted for, and the logits of all pairs are
        nowhere stored.
        """
        channels = query.shape[-1]
        more = sum(self.key_grid)
        terms = RelativePositions(self.table_rows, self.key_grid, self.dtype, name="positions")(
            lax.slice_in_dim(query, 1, None, axis=1).reshape(query.shape[0], *self.query_grid, *query.shape[2:])
        )
        terms = terms.reshape(query.shape[0], query.shape[1] - 1, self.heads, more)
        terms = jnp.pad(terms, [(0, 0), (1, 0), (0, 0), (0, 0)])
        scale = (channels + more) ** 0.5
        query = jnp.concatenate([query * (scale / channels**0.5), terms * scale], axis=-1)
        places = jnp.broadcast_to(jnp.asarray(_places(self.key_grid), key.dtype)[None, :, None], (*key.shape[:3], more))
        return query, jnp.concatenate([key, places], axis=-1)


class RelativePositions(nn.Module):
    """Scalar products of queries with embeddings of their distances from all frames, rows and columns of keys.

    Attributes:
      table_rows: distances that are learned along each of the three axes.
      key_grid: frames, rows and columns of the keys.
      dtype: dtype of the computation; parameters are float32.
    """

    table_rows: Grid
    key_grid: Grid
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, query: Float[Array, "b t h w heads d"]) -> Float[Array, "b t h w heads places"]:
        """Computes the products: with frames first, then with rows, then with columns."""
        products: Mapping[str, str] = {
            "frames": "bthwnd,tkd->bthwnk",
            "rows": "bthwnd,hkd->bthwnk",
            "columns": "bthwnd,wkd->bthwnk",
        }
        terms = []
        for axis, (name, product) in enumerate(products.items()):
            shape = (self.table_rows[axis], query.shape[-1])
            table = self.param(name, initializers.linear_kernel, shape)
            embeddings = distance_embeddings(table, query.shape[1 + axis], self.key_grid[axis])
            terms.append(jnp.einsum(product, query, embeddings.astype(query.dtype)))
        return jnp.concatenate(terms, axis=-1)

    def multiply_adds(self, query: Float[Array, "b t h w heads d"]) -> int:
        """Counts the multiply-adds of the products with queries of this shape."""
        return query.size * sum(self.key_grid)


def pooled_grid(grid: Grid, stride: int) -> Grid:
    """Returns the frames, rows and columns of a grid that is pooled in space.

    Args:
      grid: frames, rows and columns.
      stride: distance of the pooled rows, and columns.
    """
    frames, rows, columns = grid
    return frames, -(-rows // stride), -(-columns // stride)


def _places(grid: Grid) -> Float[np.ndarray, "n places"]:
    """Marks for a class token and each place of a grid its frame, its row and its column."""
    numbers = np.indices(grid).reshape(3, -1)
    marks = np.concatenate([np.eye(size)[of_axis] for size, of_axis in zip(grid, numbers, strict=True)], axis=1)
    return np.concatenate([np.zeros((1, marks.shape[1])), marks]).astype(np.float32)
