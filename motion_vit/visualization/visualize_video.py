"""Visualizes a model on a video, from files to files."""

import os
from collections.abc import Sequence

from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.whole_folder import check_can_be_made
from motion_vit.visualization.clip_recording import What
from motion_vit.visualization.output_files import DEFAULT_FORMATS, Format, checked_formats, write_folder
from motion_vit.visualization.visualization import Visualization
from motion_vit.visualization.visualize import visualize
from motion_vit.zoo.load import as_trained


def visualize_video(
    video: str | os.PathLike[str],
    model: TrainedModel | str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    start: float | None = None,
    clip: int | None = None,
    clips: int | None = None,
    what: What | Sequence[What] = (),
    layers: str | Sequence[str] = (),
    point: tuple[float, float] | None = None,
    classes: str = "",
    temperature: float = 1.0,
    formats: Format | Sequence[Format] = DEFAULT_FORMATS,
) -> Visualization:
    """Looks at a video through a model, and writes what it sees.

        motion_vit.visualize("my_video.mp4", "runs/my_videos", "seen")  # seen/index.html is a page to explore

    In a notebook, no folder is needed:

        motion_vit.visualize("my_video.mp4", "demo").show()

    Args:
      video: a video file, or a folder of one video or of its frames.
      model: a trained model, or where it is, as `motion_vit.load` takes it: a workdir, a weights folder, or "demo".
      out: a new or empty folder for the pictures; None writes nothing.
      start: second of the video that the clip starts at; None for the middle of the video, or frames spread over it,
        as the recipe's evaluation takes a single clip.
      clip: in place of `start`, the number, from 1, of one of the clips that evaluation spreads over the video.
      clips: how many these are; None for the recipe's.
      what: what to see, one or several of "motion", "cost_volume", "attention", "cam", "grad-cam",
        "integrated-gradients", "occlusion", "prompt", "m2a"; () for all that the model has and that takes a single
        forward pass.
      layers: a name of layers or a pattern such as `stage3/*`, or several; () for all.
      point: (y, x) of the patch to look at, in pixels of the video; None for the place where something moves.
      classes: a class for the class activation maps, or two to compare, separated by a comma; "" for the most probable
        ones.
      temperature: what affinities are divided by before the softmax of displacement fields.
      formats: what to write, one or several of "png", "gif", "mp4", "npz", "html".

    Returns:
      The maps as arrays in the places of the video, and the most probable classes of the clip. A notebook shows it as
      a page to explore; `save` writes pictures later.

    Raises:
      VideoDecodeError: the video cannot be decoded, or ends before the start.
      UserError: an argument is not what it must be, the folder holds something or cannot be made, or there is no such
        model. Also where the video is too short to show motion, or the model lacks what was asked for, or such a clip,
        layer, class or place.
    """
    formats = checked_formats(formats)
    if out is not None:
        check_can_be_made(out)
    seen = visualize(
        as_trained(model),
        video,
        start=start,
        clip=clip,
        clips=clips,
        what=what,
        layers=layers,
        point=point,
        classes=classes,
        temperature=temperature,
    )
    if out is not None:
        write_folder(seen, out, formats)
    return seen
