"""The platform that programs are made for, by which operators choose their implementation.

It is the one of JAX's default backend, unless a program is compiled ahead of time for hardware that is not there, or
has to be split over devices in a way that the fastest implementations of a platform do not bear, or is exported.
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
    """Makes operators choose what is best on `platform` instead of on the default backend.

    Operators choose while a function is traced. So trace and lower inside the context, and a function that was not
    traced outside of it before: `jax.jit` keeps the program of a function and of the shapes of its arguments, and with
    it the choice.

        with target_platform("tpu"):
            lowered = jax.jit(step).lower(state, batch)

    Args:
      platform: "cpu", "gpu", "tpu", or "portable": plain XLA operations without loops over slices and without kernels,
        which run everywhere and which the compiler can split over devices along every axis; "any": one program that
        holds what is best on each, to be exported for several platforms (`jax.export`); "onnx" or "litert": what
        converts well to operators of these formats and is fast in their runtimes.

    Yields:
      Nothing.

    Raises:
      ValueError: another platform.
    """
    if platform not in get_args(Platform):
        raise ValueError(f"platform is {platform!r}, but must be one of {', '.join(get_args(Platform))}")
    token = _target.set(platform)
    try:
        yield
    finally:
        _target.reset(token)


def current_platform() -> str:
    """The platform of the innermost `target_platform`, or that of JAX's default backend."""
    return _target.get() or jax.default_backend()


def for_each_platform(make: Callable[[str], Callable[..., Any]], *arrays: Any) -> Any:
    """Applies what a platform's implementation makes of arrays, where the platform is known only when compiling.

    Args:
      make: the function of a platform, "cpu", "gpu" or "tpu"; all must give arrays of the same shapes and dtypes.
      *arrays: its arguments.

    Returns:
      What the function of the platform returns that the program runs on.
    """
    return lax.platform_dependent(*arrays, cpu=make("cpu"), tpu=make("tpu"), default=make("gpu"))
