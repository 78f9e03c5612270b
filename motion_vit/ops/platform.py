"""The target platform of programs, by which operators choose their implementation.

It is the platform that `target_platform` names, for programs that are compiled ahead of time for absent hardware, split
over devices in a way that a platform's fastest implementations do not support, or exported. Otherwise it is the
platform of the devices of the mesh that is set. Without either, a machine with an accelerator has two candidates: JAX
decides by where the data lies whether a function runs there or on the CPU.
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Literal, get_args

import jax
from jax import lax

Platform = Literal["cpu", "gpu", "tpu", "portable", "any", "onnx", "litert"]

_target: contextvars.ContextVar[Platform | None] = contextvars.ContextVar("target_platform", default=None)


@contextlib.contextmanager
def target_platform(platform: Platform) -> Iterator[None]:
    """Makes operators choose the best implementation for `platform`, wherever the function is going to run.

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


def known_platform() -> str | None:
    """Finds the platform that the function being traced is made for.

    Returns:
      That of the innermost `target_platform`, else that of the devices of the mesh that is set, else "cpu" where JAX
      has no accelerator; None if the function may run on the accelerator or on the CPU.
    """
    if (target := _target.get()) is not None:
        return target
    # Of a mesh that was made without devices nothing is known.
    if (device := jax.sharding.get_abstract_mesh().abstract_device) is not None:
        return device.platform
    return "cpu" if jax.default_backend() == "cpu" else None


def likely_platform() -> str:
    """Returns `known_platform`, or the default backend's where that is not known.

    For small operators of which every form runs on every platform: a wrong guess makes them slower, no more.
    `apply_by_platform` would trace all candidates of each of hundreds of layers, and their gradients.
    """
    return known_platform() or jax.default_backend()


def apply_by_platform(
    choose: Callable[[str], str], apply: Callable[..., jax.Array], *arrays: jax.Array, **static: Hashable
) -> jax.Array:
    """Applies the implementation that is chosen for the platform: now if it is known, else when the program is lowered.

    In the latter case all candidates are traced and one is lowered, so that the compiled program is the same. Either
    way the layers of a network whose arrays have the same shapes share what is traced, and the function that it becomes
    in the program; compilers inline it.

    Args:
      choose: the name of an implementation for a platform, one of `Platform` or of `jax.default_backend`.
      apply: a function of the module's level: `apply(name, *arrays, **static)`. Whatever the name, its result must
        have the same shape and dtype.
      *arrays: its arguments.
      **static: more arguments, which are not arrays.

    Returns:
      What `apply` returns.
    """
    platform = known_platform()
    if platform == "any":
        # "portable" and not "gpu": the program is not to depend on libraries of one vendor, as cuDNN.
        names, other = {each: choose(each) for each in ("cpu", "tpu")}, choose("portable")
    elif platform is None:
        names, other = {"cpu": choose("cpu")}, choose(jax.default_backend())
    else:
        names, other = {}, choose(platform)
    names = {platform: name for platform, name in names.items() if name != other}
    return _apply(apply, tuple(names.items()), other, tuple(static.items()), _target.get(), *arrays)


# Compiled as a function of its own if nothing around it is: only then the platform is that of the arguments' device.
# JAX finds what was traced by the static arguments, shapes and mesh; smaller operators inside may ask for the target.
@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _apply(
    apply: Callable[..., jax.Array],
    names: tuple[tuple[str, str], ...],
    other: str,
    static: tuple[tuple[str, Any], ...],
    target: Platform | None,
    *arrays: jax.Array,
) -> jax.Array:
    def applied(name: str) -> Callable[..., jax.Array]:
        return functools.partial(apply, name, **dict(static))

    if not names:
        return applied(other)(*arrays)
    return lax.platform_dependent(
        *arrays, **{platform: applied(name) for platform, name in names}, default=applied(other)
    )
