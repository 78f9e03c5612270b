"""The target platform of programs, by which operators choose their implementation.

It is the platform of JAX's default backend, with three exceptions: programs compiled ahead of time for absent hardware,
programs that are split over devices in a way that a platform's fastest implementations do not support, and exports.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import jax
from jax import lax

Platform = Literal["cpu", "gpu", "tpu", "portable", "any", "onnx", "litert"]

_target: contextvars.ContextVar[Platform | None] = contextvars.ContextVar("target_platform", default=None)


@contextlib.contextmanager
def target_platform(platform: Platform) -> Iterator[None]:
    """Makes operators choose the best implementation for `platform` instead of the default backend.

    Operators choose while a function is traced. Therefore trace and lower inside the context, with a function that was
    not traced outside of it before: `jax.jit` caches the program for a function and its argument shapes, and with it
    the choice.

        with target_platform("tpu"):
            lowered = jax.jit(step).lower(state, batch)

    Args:
      platform: "cpu", "gpu" or "tpu" for programs on one platform. "portable" uses plain XLA operations without loops
        over slices and without kernels, which run everywhere and which the compiler can split over devices along every
        axis. "any" is one program with the best implementation on each platform, to be exported for several
        (`jax.export`). "onnx" and "litert" use operations that convert well to these formats and are fast in their
        runtimes.

    Yields:
      Nothing.

    Raises:
      ValueError: the platform is unknown.
    """
    if platform not in get_args(Platform):
        raise ValueError(f"platform is {platform!r}, but must be one of {', '.join(get_args(Platform))}")
    token = _target.set(platform)
    try:
        yield
    finally:
        _target.reset(token)


def current_platform() -> str:
    """Returns the platform of the innermost `target_platform`, or that of JAX's default backend."""
    return _target.get() or jax.default_backend()


def for_each_platform(make: Callable[[str], Callable[..., Any]], *arrays: Any) -> Any:
    """Applies the implementation of a platform that is only known when compiling.

    Args:
      make: returns the function of a platform, "cpu", "gpu" or "tpu"; all must give arrays of the same shapes and
        dtypes.
      *arrays: arguments of that function.

    Returns:
      The result on the platform that the program runs on.
    """
    return lax.platform_dependent(*arrays, cpu=make("cpu"), tpu=make("tpu"), default=make("gpu"))
