"""Warnings about models that cannot see motion, because their cost volumes compare hardly any patches."""

from motion_vit.models.video_model import VideoModel

_LEAST_SIDE = 3


def describe_motion_blindness(model: VideoModel) -> str:
    """Names the cost volumes on whose grid no patch can move.

    On fewer than 3 x 3 patches, no patch has a neighbour on every side: a displacement of one patch leaves the frame.

    Args:
      model: a model of `motion_vit.create_model`.

    Returns:
      A warning of one line, "" if every cost volume has a grid to see motion on.
    """
    layouts = {name: model.token_layout(f"{name}/", model.clip_shape) for name in model.cost_volume_stages()}
    small = {name: layout for name, layout in layouts.items() if min(layout.rows, layout.columns) < _LEAST_SIDE}
    if not small:
        return ""
    where = ", ".join(f"{name} on {layout.rows} x {layout.columns}" for name, layout in small.items())
    return (
        f"warning: cost volumes see no motion on fewer than {_LEAST_SIDE} x {_LEAST_SIDE} patches ({where}); "
        "use larger frames or smaller patches."
    )
