"""Good files that hostile ones are made from, and against which what is read of damaged ones is compared."""

import pathlib

import av
import numpy as np
import safetensors.numpy
import small_videos
import torch
from small_network import register_small_network
from small_trained_model import small_trained_model

from motion_vit.data.datasets.registry import read_dataset
from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.interop.exporting.export import export_model
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.loop.loop import train
from motion_vit.training.recipe.config import default_config, to_json

VIDEOS, RUN, WEIGHTS, PREPARED, FOREIGN = "videos", "run", "weights", "prepared", "foreign"
"""Names of the good folders: videos, the workdir of a run, a weights folder, prepared shards, and PyTorch's weights."""

RECIPE = "recipe.json"
"""Name of the recipe of the run."""

FOREIGN_MODEL = {"name": "uniformer_emim_tiny", "widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1), "head_channels": 8}
"""Model of the weights of another framework, and its options."""

FRAMES = 8
"""Of each video."""

# Ending -> FFmpeg's format, encoder and pixel format.
_ENCODINGS = {
    "mp4": ("mp4", "libx264", "yuv420p"),
    "mkv": ("matroska", "libx264", "yuv420p"),
    "avi": ("avi", "mpeg4", "yuv420p"),
    "webm": ("webm", "libvpx", "yuv420p"),
    "mov": ("mov", "mjpeg", "yuvj420p"),
    "ts": ("mpegts", "libx264", "yuv420p"),
    "mpg": ("mpeg", "mpeg2video", "yuv420p"),
    "flv": ("flv", "flv", "yuv420p"),
    "wmv": ("asf", "wmv2", "yuv420p"),
    "ivf": ("ivf", "libvpx-vp9", "yuv420p"),
    "m4v": ("mp4", "libx265", "yuv420p"),
    "ogv": ("ogg", "libtheora", "yuv420p"),
    "nut": ("nut", "ffv1", "yuv420p"),
    "gif": ("gif", "gif", "rgb8"),
    "apng": ("apng", "apng", "rgb24"),
}


def write_good_inputs(folder: pathlib.Path) -> None:
    """Writes videos, a weights folder, prepared shards and the workdir of a run with two checkpoints.

    Args:
      folder: an empty folder.
    """
    register_small_network()
    _write_videos(folder / VIDEOS)
    _write_foreign_weights(folder / FOREIGN)
    write_weights_folder(folder / WEIGHTS, small_trained_model())
    lists = render_dataset(
        folder / "rendered", splits={"train": 8, "validation": 4}, size=32, frames=(6, 8), workers=1, progress=False
    )
    source = read_dataset("list", lists["train"], {})
    prepare_dataset(source, folder / PREPARED, workers=1, progress=False, clips_per_shard=3)
    config = default_config()
    config.name = config.model.name = "small"
    config.data.train, config.data.validation = map(str, (lists["train"], lists["validation"]))
    config.data.frames, config.data.size = 4, 32
    config.batch_size, config.epochs = 4, 1.0
    config.optimizer.warmup_epochs = 0.0
    config.checkpoint.every_steps = config.log.every_steps = 1
    train(config, folder / RUN)
    (folder / RECIPE).write_text(to_json(config))


def _write_foreign_weights(folder: pathlib.Path) -> None:
    export_model(small_trained_model(**FOREIGN_MODEL), "torch", folder / "exported")
    [state_dict] = torch.load(folder / "exported" / "model.pth", weights_only=True).values()
    arrays = {name: tensor.numpy() for name, tensor in state_dict.items()}
    torch.save({"model": state_dict}, folder / "weights.pth")
    np.savez(folder / "weights.npz", **arrays)
    safetensors.numpy.save_file(arrays, folder / "weights.safetensors")


def _write_videos(folder: pathlib.Path) -> None:
    folder.mkdir()
    pictures = np.random.default_rng(0).integers(0, 256, (FRAMES, 48, 64, 3), dtype=np.uint8)
    for ending, (container_format, encoder, pixels) in _ENCODINGS.items():
        if encoder not in av.codecs_available:
            continue
        options = {"x265-params": small_videos.SAFE_X265} if encoder == "libx265" else {}
        with av.open(str(folder / f"clip.{ending}"), "w", format=container_format) as container:
            stream = container.add_stream(encoder, rate=12, options=options)
            stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
