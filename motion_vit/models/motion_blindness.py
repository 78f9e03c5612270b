"""Warnings about models that cannot see motion, because their cost volumes compare hardly any patches."""

from flax import linen as nn

_LEAST_SIDE = 3


def describe_motion_blindness(model: nn.Module) -> str:
    """Names the cost volumes on whose grid no patch can move.

    On fewer than 3 x 3 patches, no patch has a neighbour on every side: a displacement of one patch leaves the frame.

    Args:
      model: a model of `motion_vit.create_model`.

    Returns:
      A warning of one line, "" if every cost volume has a grid to see motion on.
    """
    grids = model.cost_volume_grids() if hasattr(model, "cost_volume_grids") else {}
    small = {name: grid for name, grid in grids.items() if min(grid) < _LEAST_SIDE}
    if not small:
        return ""
    where = ", ".join(f"{name} on {rows} x {columns}" for name, (rows, columns) in small.items())
    return (
        f"warning: cost volumes see no motion on fewer than {_LEAST_SIDE} x {_LEAST_SIDE} patches ({where}); "
        "use larger frames or smaller patches."
    )
