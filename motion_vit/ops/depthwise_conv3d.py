"""Depthwise 3D convolution: zero padding of half the kernel, strides over rows and columns, channel-last.

On CPU, XLA lowers a grouped convolution to a loop over channels, hundreds of times slower than the arithmetic needs.
The shifted form adds up the input once per kernel tap, shifted and scaled, which XLA fuses into one pass. Its gradient
to the input is the same function with the taps reversed; its gradient to the kernel is a blocked sum that keeps its
inputs in the cache. Both are written by hand because autodiff of the shifted form would write one array per tap. With a
stride `s`, rows and columns fall into `s * s` phases, by their remainders: tap `r` reads positions of phase `r % s`
alone, so that each phase has gradients like those of stride 1, of its own taps.

On TPU, XLA first cuts the rows of a grouped 3x3x3 convolution into overlapping pieces: at 16 x 56 x 56 x 64 it accesses
seven times the memory of the shifted form. Only its gradient to the kernel is better there. Slices with steps are worse
still: of a stride, all positions are computed and the others left out. By the compiler for v5e, at 13 x 80 x 80 x 54 in
bfloat16 with stride 2, forward and backward access 350 MB so, 787 MB by XLA's convolution, and 1772 MB by phases.
"""

import functools
import itertools
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from motion_vit.ops.on_every_device import on_every_device
from motion_vit.ops.platform import apply_by_platform
from motion_vit.ops.precision import accumulation_dtype

IMPLEMENTATIONS = ("xla_conv", "shifted", "shifted_conv", "xla_conv2d")
"""The names that `implementation` accepts."""

_UNROLLED_TAPS = 27
"""Kernels of up to this many taps are one fused sum; larger ones loop over their temporal taps (measured on CPU)."""

_BLOCK_BYTES = 3 << 20
"""How much of the input the kernel gradient works on at a time, so that it stays in the cache while all taps pass over
it."""

_FUSED_PRODUCTS = 32
"""How many products the kernel gradient adds up in one fused pass; more of them compile slower."""

Video = Float[Array, "b t h w c"]
Padded = Float[Array, "b t2 h2 w2 c"]
Kernel = Float[Array, "kt kh kw c"]
Strided = Float[Array, "b t h3 w3 c"]


def depthwise_conv3d(x: Video, kernel: Kernel, *, stride: int = 1, implementation: str | None = None) -> Strided:
    """Convolves every channel with its own kernel (cross-correlation, as PyTorch's `Conv3d(groups=C)` computes it).

    Args:
      x: input.
      kernel: one odd-sized kernel per channel.
      stride: distance of the output positions, in rows and columns; frames keep their number.
      implementation: None chooses by platform and size of the kernel. "xla_conv" is XLA's grouped convolution.
        "shifted" adds shifted copies (the usable form on CPU). "shifted_conv" does so, too, except for the gradient to
        the kernel, which is XLA's, and computes all positions before it leaves some out (small kernels on TPU).
        "xla_conv2d" adds up grouped convolutions of single frames (LiteRT, which has no others).

    Returns:
      Output of `ceil(h / stride)` rows and `ceil(w / stride)` columns, in the dtype of `x`; sums are accumulated in
      float32 or better.

    Raises:
      ValueError: shapes do not agree, the kernel is even, the stride is not positive, or the implementation is unknown.
    """
    if x.ndim != 5 or kernel.ndim != 4 or x.shape[-1] != kernel.shape[-1]:
        raise ValueError(
            "expected input [batch, frames, height, width, channels] and kernel [kt, kh, kw, channels], "
            f"got {x.shape} and {kernel.shape}"
        )
    if any(size % 2 == 0 for size in kernel.shape[:3]):
        raise ValueError(f"kernel sizes must be odd, got {kernel.shape[:3]}")
    if stride < 1:
        raise ValueError(f"stride must be 1 or more, got {stride}")
    if implementation is None:
        taps = math.prod(kernel.shape[:3])
        return apply_by_platform(functools.partial(_choose, taps), _convolve, x, kernel, stride=stride)
    if implementation not in _IMPLEMENTATIONS:
        known = ", ".join(IMPLEMENTATIONS)
        raise ValueError(f"unknown implementation {implementation!r} of depthwise_conv3d: choose from {known}")
    return _convolve(implementation, x, kernel, stride=stride)


def _convolve(implementation: str, x: Video, kernel: Kernel, *, stride: int) -> Strided:
    return _IMPLEMENTATIONS[implementation](x, kernel, stride)


def _choose(taps: int, platform: str) -> str:
    if platform == "litert":
        return "xla_conv2d"
    if platform == "tpu" and taps <= _UNROLLED_TAPS:
        return "shifted_conv"
    return "shifted" if platform == "cpu" else "xla_conv"


def _shifted_on_every_device(x: Video, kernel: Kernel, stride: int) -> Strided:
    # The gradient to the kernel loops over clips, and of a loop every device would do all.
    return on_every_device(lambda x, kernel: _shifted(x, kernel, stride), x, kernel, split=(True, False))


def _grouped_convolution(x: Video, kernel: Kernel, stride: int) -> Strided:
    return lax.conv_general_dilated(
        x,
        kernel[:, :, :, None, :].astype(x.dtype),
        window_strides=(1, stride, stride),
        padding=[(size // 2, size // 2) for size in kernel.shape[:3]],
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        feature_group_count=x.shape[-1],
    )


def _framewise_convolution(x: Video, kernel: Kernel, stride: int) -> Strided:
    batch, frames, height, width, channels = x.shape
    reach = kernel.shape[0] // 2
    padded = jnp.pad(x, [(0, 0), (reach, reach), (0, 0), (0, 0), (0, 0)])
    dtype = accumulation_dtype(x.dtype)
    total = jnp.zeros((), dtype)
    for tap, weights in enumerate(kernel.astype(x.dtype)):
        shifted = lax.slice_in_dim(padded, tap, tap + frames, axis=1)
        total = total + lax.conv_general_dilated(
            shifted.reshape(batch * frames, height, width, channels),
            weights[:, :, None, :],
            window_strides=(stride, stride),
            padding=[(size // 2, size // 2) for size in kernel.shape[1:3]],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=channels,
            preferred_element_type=dtype,
        )
    return total.reshape(batch, frames, *total.shape[1:]).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _shifted(x: Video, kernel: Kernel, stride: int) -> Strided:
    padded = _pad(x, kernel.shape[:3])
    return _add_taps(padded, kernel, _strided_shape(x.shape, stride), stride)


def _add_taps(padded: Padded, kernel: Kernel, shape: tuple[int, ...], stride: int = 1) -> Strided:
    """Sums `padded[stride * n + tap] * kernel[tap]` over all taps, for every `n` of an output of this shape."""
    dtype = accumulation_dtype(padded.dtype)
    kernel = kernel.astype(dtype)
    start = jnp.zeros(shape, dtype)
    if kernel[..., 0].size <= _UNROLLED_TAPS:
        total = start
        for tap, weights in enumerate(kernel):
            total = _add_spatial_taps(total, padded, weights, tap, stride)
        return total.astype(padded.dtype)

    def add_temporal_tap(total: Strided, tap_and_weights: tuple[Array, Array]) -> tuple[Strided, None]:
        tap, weights = tap_and_weights
        return _add_spatial_taps(total, padded, weights, tap, stride), None

    total, _ = lax.scan(add_temporal_tap, start, (jnp.arange(kernel.shape[0]), kernel))
    return total.astype(padded.dtype)


def _shifted_forward(x: Video, kernel: Kernel, stride: int) -> tuple[Strided, tuple[Video, Kernel]]:
    return _shifted(x, kernel, stride), (x, kernel)


def _shifted_backward(stride: int, residuals: tuple[Video, Kernel], gradient: Strided) -> tuple[Video, Kernel]:
    x, kernel = residuals
    kernel_gradient = _kernel_gradient(x, gradient, kernel.shape[:3], stride)
    return _input_gradient(x, kernel, gradient, stride), kernel_gradient.astype(kernel.dtype)


_shifted.defvjp(_shifted_forward, _shifted_backward)


def _dense_shifted_conv(x: Video, kernel: Kernel, stride: int) -> Strided:
    y = _shifted_conv(x, kernel)
    return lax.slice(y, (0,) * 5, y.shape, (1, 1, stride, stride, 1))


@jax.custom_vjp
def _shifted_conv(x: Video, kernel: Kernel) -> Video:
    return _shifted(x, kernel, 1)


def _shifted_conv_forward(x: Video, kernel: Kernel) -> tuple[Video, tuple[Video, Kernel]]:
    return _shifted_conv(x, kernel), (x, kernel)


def _shifted_conv_backward(residuals: tuple[Video, Kernel], gradient: Video) -> tuple[Video, Kernel]:
    x, kernel = residuals
    (kernel_gradient,) = jax.linear_transpose(functools.partial(_grouped_convolution, x, stride=1), kernel)(gradient)
    return _input_gradient(x, kernel, gradient, 1), kernel_gradient


_shifted_conv.defvjp(_shifted_conv_forward, _shifted_conv_backward)

_IMPLEMENTATIONS: Mapping[str, Callable[[Video, Kernel, int], Strided]] = {
    "xla_conv": _grouped_convolution,
    "shifted": _shifted_on_every_device,
    "shifted_conv": _dense_shifted_conv,
    "xla_conv2d": _framewise_convolution,
}


def _pad(x: Video, kernel_size: tuple[int, ...]) -> Padded:
    return jnp.pad(x, [(0, 0), *((size // 2, size // 2) for size in kernel_size), (0, 0)])


def _strided_shape(shape: tuple[int, ...], stride: int) -> tuple[int, ...]:
    batch, frames, height, width, channels = shape
    return batch, frames, -(-height // stride), -(-width // stride), channels


def _add_spatial_taps(
    total: Strided, padded: Padded, weights: Float[Array, "kh kw c"], temporal_tap: int | Array, stride: int
) -> Strided:
    batch, frames, high, wide, channels = total.shape
    span = (batch, frames, stride * (high - 1) + 1, stride * (wide - 1) + 1, channels)
    for row, column in itertools.product(range(weights.shape[0]), range(weights.shape[1])):
        # Cut out at once: XLA on CPU would write the frames of a temporal tap to memory before it cuts them further.
        # Slices of `jnp` become gathers where the batch is symbolic, and its products take thrice as long to trace.
        shifted = lax.dynamic_slice(padded, (0, temporal_tap, row, column, 0), span)
        if stride > 1:
            shifted = lax.slice(shifted, (0,) * 5, span, (1, 1, stride, stride, 1))
        shifted = shifted.astype(total.dtype)
        tap = lax.slice(weights, (row, column, 0), (row + 1, column + 1, weights.shape[2]))
        total = lax.add(total, lax.mul(shifted, lax.broadcast_in_dim(tap, total.shape, (2, 3, 4))))
    return total


def _largest_divisor(number: int, limit: int) -> int:
    return max(divisor for divisor in range(1, number + 1) if number % divisor == 0 and divisor <= max(limit, 1))


def _input_gradient(x: Video, kernel: Kernel, gradient: Strided, stride: int) -> Video:
    """Computes the gradient to the input: of each phase the sum over its taps, and the phases between each other."""
    reaches = tuple(size // 2 for size in kernel.shape[:3])
    if stride == 1:
        return _add_taps(_pad(gradient, kernel.shape[:3]), kernel[::-1, ::-1, ::-1], x.shape)
    batch, frames, height, width, channels = x.shape
    # Of the padded input, as many positions of each phase as cover it.
    high, wide = (-(-(size + 2 * reach) // stride) for size, reach in zip((height, width), reaches[1:], strict=True))
    phases = {}
    for row, column in _phases(stride):
        taps = kernel[::-1, row::stride, column::stride][:, ::-1, ::-1]
        before = (reaches[0], max(taps.shape[1] - 1, 0), max(taps.shape[2] - 1, 0))
        after = (reaches[0], high - gradient.shape[2], wide - gradient.shape[3])
        padded = jnp.pad(gradient, [(0, 0), *zip(before, after, strict=True), (0, 0)])
        phases[row, column] = _add_taps(padded, taps, (batch, frames, high, wide, channels))
    rows = [jnp.stack([phases[row, column] for column in range(stride)], axis=4) for row in range(stride)]
    padded = jnp.stack(rows, axis=3).reshape(batch, frames, stride * high, stride * wide, channels)
    return padded[:, :, reaches[1] : reaches[1] + height, reaches[2] : reaches[2] + width]


def _phases(stride: int) -> list[tuple[int, int]]:
    """Lists the remainders of rows and columns."""
    return list(itertools.product(range(stride), range(stride)))


def _kernel_gradient(x: Video, gradient: Strided, kernel_size: tuple[int, ...], stride: int) -> Kernel:
    """Sums `x[stride * n + tap] * gradient[n]` over all positions `n`, for every tap, of one phase after the other."""
    padded = _pad(x, kernel_size)
    if stride == 1:
        return _kernel_gradient_of_phase(padded, gradient, kernel_size)
    total = jnp.zeros((*kernel_size, x.shape[-1]), accumulation_dtype(x.dtype))
    for row, column in _phases(stride):
        taps = total[:, row::stride, column::stride].shape[:3]
        if 0 in taps:  # a kernel smaller than the stride
            continue
        size = (gradient.shape[2] + taps[1] - 1, gradient.shape[3] + taps[2] - 1)
        phase = padded[:, :, row::stride, column::stride][:, :, : size[0], : size[1]]
        found = _kernel_gradient_of_phase(phase, gradient, taps)
        total = total.at[:, row::stride, column::stride].set(found)
    return total


def _kernel_gradient_of_phase(padded: Padded, gradient: Video, kernel_size: tuple[int, ...]) -> Kernel:
    """Sums `padded[n + tap] * gradient[n]` over all `n`, for every tap, one block of clips and rows at a time."""
    batch, frames, height, width, channels = gradient.shape
    dtype = accumulation_dtype(padded.dtype)
    clip_bytes = gradient[0].size * dtype.itemsize
    clips = _largest_divisor(batch, _BLOCK_BYTES // clip_bytes)
    rows = height if clip_bytes <= _BLOCK_BYTES else _largest_divisor(height, _BLOCK_BYTES * height // clip_bytes)
    halo = kernel_size[1] - 1

    def add_block(total: Array, corner: tuple[Array, ...]) -> tuple[Array, None]:
        clip, row = corner
        block = lax.dynamic_slice(
            padded, (clip, 0, row, 0, 0), (clips, padded.shape[1], rows + halo, padded.shape[3], channels)
        )
        block_gradient = lax.dynamic_slice(gradient, (clip, 0, row, 0, 0), (clips, frames, rows, width, channels))
        return total + _block_kernel_gradient(block, block_gradient, kernel_size, dtype), None

    start = jnp.zeros((kernel_size[0] * kernel_size[1], kernel_size[2], channels), dtype)
    corners = jnp.meshgrid(jnp.arange(0, batch, clips), jnp.arange(0, height, rows), indexing="ij")
    total, _ = lax.scan(add_block, start, tuple(grid.reshape(-1) for grid in corners))
    return total.reshape(*kernel_size, channels)


def _block_kernel_gradient(
    padded: Padded, gradient: Video, kernel_size: tuple[int, ...], dtype: jnp.dtype
) -> Float[Array, "kt_kh kw c"]:
    """Computes the kernel gradient of one block.

    Products are summed over frames and groups of clips elementwise, which XLA fuses into one pass. A product with ones
    sums the remaining positions: on CPU a matrix multiplication is vectorised, a reduction over leading axes is not.
    """
    clips, frames, rows, width, channels = gradient.shape
    groups = _largest_divisor(clips, _FUSED_PRODUCTS // frames)
    ones = jnp.ones((1, clips // groups * rows * width), dtype)

    # Hundreds of products, whose time to trace counts: no functions of `jnp`, and as few operations as there can be.
    def parts_of(array: Float[Array, "clips frames rows width c"]) -> list[Array]:
        of_clips = lax.split(array.astype(dtype), (clips // groups,) * groups, axis=0)
        return [part for of_group in of_clips for part in lax.split(of_group, (1,) * frames, axis=1)]

    def one_row_of_taps(_: None, tap: Array) -> tuple[None, Array]:
        corner = (0, tap // kernel_size[1], tap % kernel_size[1], 0, 0)
        shifted_rows = lax.dynamic_slice(padded, corner, (clips, frames, rows, padded.shape[3], channels))
        gradients = parts_of(gradient)
        sums = []
        for column in range(kernel_size[2]):
            shifted = parts_of(lax.slice_in_dim(shifted_rows, column, column + width, axis=3))
            total = functools.reduce(lax.add, map(lax.mul, shifted, gradients))
            sums.append((ones @ total.reshape(-1, channels))[0])
        return None, jnp.stack(sums)

    return lax.scan(one_row_of_taps, None, jnp.arange(kernel_size[0] * kernel_size[1]))[1]
