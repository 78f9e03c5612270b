"""The motion modules that the option `motion_module` of a backbone names: those of M2A, and registered ones."""

from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.modules.m2a import PUBLISHED_MODULES, published_module
from motion_vit.plugins import check_registration, load_plugins, takes

NO_MOTION = "none"
"""The name of the module that leaves features as they are."""


@runtime_checkable
class MotionModuleFactory(Protocol):
    """Makes a motion module; a Flax module with the fields `dtype` and `batch_norm_groups` is one by itself."""

    def __call__(self, *, dtype: DTypeLike, batch_norm_groups: int, **binding: Any) -> nn.Module:
        """Makes a module that is called as `module(x, train=train)` and keeps the shape of `x` `[b, t, h, w, c]`.

        Args:
          dtype: dtype of the computation; parameters are float32.
          batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
          **binding: Linen's `name` and `parent`, to be handed to the module.
        """
        ...


_REGISTERED: dict[str, MotionModuleFactory] = {}


class _NoMotion(nn.Module):
    """Leaves features as they are."""

    def __call__(self, x: Float[Array, "b t h w c"], *, train: bool) -> Float[Array, "b t h w c"]:
        """Returns `x`."""
        return x


def register_motion_module(name: str, factory: MotionModuleFactory) -> None:
    """Adds a motion module, which the option `motion_module` of the library's backbones then takes by its name.

    So does that of another backbone that makes its module with `make_motion_module` and calls it with
    `apply_motion_module`. The same definition may be registered again, as a notebook's cell that runs twice does.

    Args:
      name: a value of the option.
      factory: makes the module, of any parameters.

    Raises:
      UserError: the name is taken or no name, or the factory cannot be called as one is.
    """
    check_registration("motion module", name, factory, known=_REGISTERED, own=(NO_MOTION, *PUBLISHED_MODULES))
    # A module in place of its class could be called, too, but with features.
    if isinstance(factory, nn.Module) or not takes(factory, dtype=None, batch_norm_groups=1, name=None, parent=None):
        raise UserError(
            f"the motion module {name!r} is {factory!r}, but must be a function or a class, called with the keywords "
            "dtype, batch_norm_groups, name and parent, that makes a Flax module."
        )
    _REGISTERED[name] = factory


def motion_module_names() -> tuple[str, ...]:
    """Lists the names that the option `motion_module` takes, of installed plugins too."""
    load_plugins()
    return (NO_MOTION, *PUBLISHED_MODULES, *_REGISTERED)


def is_motion_module(name: str) -> bool:
    """Tells if a motion module has this name; loads plugins only for a name that is not known otherwise.

    Args:
      name: a value of the option `motion_module`.
    """
    return name in (NO_MOTION, *PUBLISHED_MODULES, *_REGISTERED) or name in motion_module_names()


def make_motion_module(
    kind: str, *, dtype: DTypeLike = jnp.float32, batch_norm_groups: int = 1, **binding: Any
) -> nn.Module:
    """Makes a motion module by its name.

    Args:
      kind: its name; "none" leaves its input as it is, without parameters.
      dtype: dtype of the computation.
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      **binding: Linen's `name` and `parent`.

    Returns:
      A module that is called as `module(x, train=train)` with features `[b, t, h, w, c]` and keeps their shape.

    Raises:
      ValueError: an unknown name, or what was registered under it makes no module.
    """
    if kind == NO_MOTION:
        return _NoMotion(**binding)
    if not is_motion_module(kind):
        raise ValueError(f"motion_module is {kind!r}, but must be one of {', '.join(motion_module_names())}")
    make = _REGISTERED.get(kind)
    if make is None:
        return published_module(kind, dtype=dtype, batch_norm_groups=batch_norm_groups, **binding)
    module = make(dtype=dtype, batch_norm_groups=batch_norm_groups, **binding)
    if not isinstance(module, nn.Module):
        raise ValueError(f"the factory of the motion module {kind!r} returns {module!r}, but must return a Flax module")
    return module


def apply_motion_module(module: nn.Module, x: Float[Array, "b t h w c"], *, train: bool) -> Float[Array, "b t h w c"]:
    """Applies a motion module inside a block.

    Args:
      module: of `make_motion_module`.
      x: features.
      train: whether layers behave as in training.

    Returns:
      Features of the shape of `x`.

    Raises:
      ValueError: the module returns something else; broadcast, other shapes could go on unnoticed.
    """
    features: Array = module(x, train=train)
    if (found := getattr(features, "shape", None)) != x.shape:
        raise ValueError(
            f"the motion module {type(module).__name__} makes "
            f"{type(features).__name__ if found is None else f'features of the shape {found}'} of {x.shape}, but must "
            "keep the shape"
        )
    return features
