"""Says what happens in a camera, a stream or a file that grows, with a model or with what is in a folder."""

import os
from collections.abc import Generator

from jax.sharding import Mesh

from motion_vit.data.batches.window_views import Windows
from motion_vit.data.streams.frame_source import Source, frame_source
from motion_vit.data.streams.timed_frame import FrameSource
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inference.segments import SegmentRules
from motion_vit.training.inference.stream_events import StreamEvent, stream_events
from motion_vit.training.parallel.mesh import data_mesh
from motion_vit.zoo.load import as_trained


def check_stream(
    source: Source,
    *,
    window: float,
    hop: float | None = None,
    seconds: float | None = None,
    frame_rate: float | None = None,
    wait: float = 0.0,
    timeout: float = 10.0,
    attempts: int = 5,
) -> tuple[FrameSource, Windows]:
    """Checks the arguments of `stream` that need no model.

    Args:
      source: as for `stream`, and all others, too.
      window: likewise.
      hop: likewise.
      seconds: likewise.
      frame_rate: likewise.
      wait: likewise.
      timeout: likewise.
      attempts: likewise.

    Returns:
      What gives the frames, not opened yet, and the windows.

    Raises:
      UserError: one of them is not what it must be.
    """
    frames = frame_source(source, frame_rate=frame_rate, wait=wait, timeout=timeout, attempts=attempts)
    return frames, Windows.of(window, hop, 0.0, seconds)


def stream(
    source: Source,
    model: TrainedModel | str | os.PathLike[str],
    *,
    window: float,
    hop: float | None = None,
    rules: SegmentRules | None = None,
    seconds: float | None = None,
    frame_rate: float | None = None,
    wait: float = 0.0,
    timeout: float = 10.0,
    attempts: int = 5,
    drop: bool | None = None,
    clips: int | None = None,
    crops: int | None = None,
    mesh: Mesh | None = None,
) -> Generator[StreamEvent, None, None]:
    """Classifies overlapping windows of a stream while it runs.

        for event in motion_vit.stream(0, "runs/my_videos", window=2, hop=0.5):  # camera 0
            handle(event)

    Windows and segments are those that `TrainedModel.timeline` finds in a file with the same frames. An address is
    followed only if it is given here, and nothing that it brings leads anywhere else.

    Args:
      source: an iterator of RGB frames, uint8 `[h, w, 3]`, or of pairs of seconds and a frame. Or a container that
        `av.open` has opened, the path of a video file, the number of a camera, or an address that starts with
        `http://`, `https://` or `rtsp://`. It is closed at the end.
      model: a trained model, or where it is, as `motion_vit.load` takes it: a workdir, a weights folder, or "demo".
      window: seconds of a window.
      hop: seconds from the start of a window to that of the next; a quarter of a window by default.
      rules: where labels begin and end, see `motion_vit.training.inference.segments`.
      seconds: of the stream after which to stop; None for its end.
      frame_rate: frames per second of an iterator of frames without times.
      wait: seconds without new bytes after which a file that grows has ended; 0 takes a file as it is.
      timeout: seconds to wait for the connection to an address, and for each piece of its stream.
      attempts: to connect again after a connection was lost, in a row, with pauses of 0.5, 1, 2, ... 10 seconds.
      drop: whether windows are left out where the model is slower than the stream, instead of the stream waiting; by
        default those of cameras and addresses.
      clips: clips spread over each window; the recipe's by default.
      crops: crops of each clip, 1 or 3; the recipe's by default.
      mesh: devices that hold the variables, all by default.

    Returns:
      The events, as they come; it ends where the stream ends. Its `close()` ends the thread that reads and the source.

    Raises:
      UserError: now, if there is no such model or an argument is out of range. Later, if the source cannot be opened,
        refuses, is silent for too long, or is broken; what was found before has come by then.
    """
    frames, windows = check_stream(
        source,
        window=window,
        hop=hop,
        seconds=seconds,
        frame_rate=frame_rate,
        wait=wait,
        timeout=timeout,
        attempts=attempts,
    )
    trained = as_trained(model, mesh=mesh)
    mesh = data_mesh() if mesh is None else mesh
    return stream_events(
        trained.logits_function(mesh),
        trained.variables,
        trained.config,
        trained.label_names,
        frames,
        windows=windows,
        rules=rules or SegmentRules(),
        mesh=mesh,
        clips=clips,
        crops=crops,
        drop=drop,
    )
