"""Times the input pipeline beside decoding alone, for the kinds of files that datasets use.

    python benchmarks/input_pipeline.py --video some_video.mp4 --batch 32 --repeats 5

From one video it makes four kinds of files:

- an mp4 like those of Kinetics (H.264, 340 x 256, keyframes far apart);
- the same prepared with `h264-fast`;
- a WebM like those of Something-Something V2 (VP9, 426 x 240, 12 frames a second, 4 seconds);
- JPEG frames like those of Something-Something V1 (100 pixels high, 12 frames a second).

It prepares a dataset of each, and reads 16 frames of 224 x 224 with random resized crops, the published recipe's
RandAugment on the crops, and flips. Without `--video` it renders a moving texture, which codes less easily than a real
video.

`decode` draws frames as the pipeline does and only decodes them, with as many threads; `pipeline` delivers whole
batches. The two take turns, so that other load on the machine affects both alike. Memory is the process's peak beyond
its use before the first batch.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import multiprocessing
import os
import pathlib
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import av
import cv2
import numpy as np
import psutil

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.training_batches import TrainingBatches, decode_training_clip
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.embedded.motion_scenes import MOTION_CLASSES, render_clip
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.data.sources.prepared_dataset import open_prepared
from motion_vit.data.video.decoding import decode_frames

RECIPE = ClipOptions(frames=16, size=224, rand_augment="rand-m7-n4-mstd0.5-inc1", flip="on")
_KINETICS_FRAMES = 300
_SOMETHING_FRAMES = 48


@dataclasses.dataclass(frozen=True)
class Material:
    """A kind of files.

    Attributes:
      name: for the table.
      codec: codec of the preparation.
      sampling: sampling of a clip's frames.
      write: writes one clip, given its frames and a path without suffix, and returns the path.
      frames: frames of a clip.
      size: height and width of a clip.
    """

    name: str
    codec: str
    sampling: str
    write: Callable[[list[np.ndarray], pathlib.Path], pathlib.Path]
    frames: int
    size: tuple[int, int]


def _write_video(codec: str, suffix: str, fps: int, options: dict[str, str]) -> Callable[..., pathlib.Path]:
    def write(frames: list[np.ndarray], stem: pathlib.Path) -> pathlib.Path:
        path = stem.with_suffix(suffix)
        with av.open(os.fspath(path), "w") as container:
            stream = container.add_stream(codec, rate=fps, options=options)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        return path

    return write


def _write_jpegs(frames: list[np.ndarray], stem: pathlib.Path) -> pathlib.Path:
    stem.mkdir()
    for number, frame in enumerate(frames, start=1):
        cv2.imwrite(os.fspath(stem / f"{number:05d}.jpg"), frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return stem


_KINETICS = _write_video("libx264", ".mp4", 30, {"crf": "23", "preset": "medium"})
_SOMETHING_V2 = _write_video("libvpx-vp9", ".webm", 12, {"crf": "33", "b": "0", "deadline": "good", "cpu-used": "4"})
MATERIALS = (
    Material("mp4, segment", "copy", "segment", _KINETICS, _KINETICS_FRAMES, (256, 340)),
    Material("mp4, dense", "copy", "dense", _KINETICS, _KINETICS_FRAMES, (256, 340)),
    Material("mp4 as h264-fast, segment", "h264-fast", "segment", _KINETICS, _KINETICS_FRAMES, (256, 340)),
    Material("mp4 as h264-fast, dense", "h264-fast", "dense", _KINETICS, _KINETICS_FRAMES, (256, 340)),
    Material("webm, segment", "copy", "segment", _SOMETHING_V2, _SOMETHING_FRAMES, (240, 426)),
    Material("jpeg, segment", "copy", "segment", _write_jpegs, _SOMETHING_FRAMES, (100, 176)),
)


def _frames_of(video: str | None) -> list[np.ndarray]:
    """Returns the frames of every material: those of a video, played to and fro until there are enough."""
    if video is None:
        frames = list(render_clip(MOTION_CLASSES[0], np.random.SeedSequence(0), frames=_KINETICS_FRAMES, size=256))
    else:
        with av.open(video) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    to_and_fro = itertools.cycle(frames + frames[::-1])
    return list(itertools.islice(to_and_fro, _KINETICS_FRAMES))


def prepare_material(material: Material, frames: list[np.ndarray], clips: int, folder: pathlib.Path) -> ClipSource:
    """Writes one clip, and prepares a dataset that holds it `clips` times."""
    folder.mkdir()
    height, width = material.size
    scaled = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames[: material.frames]]
    path = material.write(scaled, folder / "clip")
    entries = tuple(SourceClip(f"clip{number}", os.fspath(path), "a") for number in range(clips))
    source = SourceDataset("benchmark", ("a", "b"), {"train": entries})
    prepare_dataset(source, folder / "prepared", codec=material.codec, workers=1, progress=False)
    return open_prepared(folder / "prepared", "train")


def time_decoding(source: ClipSource, options: ClipOptions, clips: int, threads: int, seed: int) -> float:
    """Measures clips per second of reading, drawing the frames and decoding them."""
    seeds = np.random.SeedSequence(seed).spawn(clips)

    def decode(number: int) -> None:
        decode_training_clip(source[number % len(source)], options, np.random.default_rng(seeds[number]))

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(decode, range(clips)))
    return clips / (time.perf_counter() - start)


def time_pipeline(batches: Iterator[dict[str, np.ndarray]], clips: int, batch: int) -> float:
    """Measures clips per second of whole batches, in the steady state."""
    start = time.perf_counter()
    for _ in range(clips // batch):
        made = next(batches)
        assert made["weight"].all(), "a clip could not be decoded"
    return clips // batch * batch / (time.perf_counter() - start)


@contextlib.contextmanager
def _peak_memory() -> Iterator[list[float]]:
    """Samples the resident memory of this process and its children; megabytes beyond the start are put in the list."""
    process, over, peak = psutil.Process(), threading.Event(), [0.0]

    def resident() -> int:
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))

    def watch() -> None:
        before = resident()
        while not over.wait(0.05):
            with contextlib.suppress(psutil.NoSuchProcess):
                peak[0] = max(peak[0], (resident() - before) / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def measure(source: ClipSource, material: Material, arguments: argparse.Namespace) -> dict[str, Any]:
    """Times decoding and the pipeline in turns."""
    options = dataclasses.replace(RECIPE, sampling=material.sampling)
    clips = arguments.batch * arguments.batches
    stream = TrainingBatches(source, options, batch_size=arguments.batch, seed=0, threads=arguments.threads)
    threads = arguments.threads
    decoding, pipeline = [], []
    with contextlib.closing(stream), _peak_memory() as peak:
        time_pipeline(stream, arguments.batch * max(2, threads), arguments.batch)
        for repeat in range(arguments.repeats):
            # The stream works ahead while decoding is timed; what lies ready is taken before its own time starts.
            pipeline.append(time_pipeline(stream, clips, arguments.batch))
            _wait_until_idle()
            decoding.append(time_decoding(source, options, clips, threads, repeat))
            time_pipeline(stream, arguments.batch * max(2, threads), arguments.batch)
    first = source[0]
    sample = decode_frames(first.video, [0]).shape
    return {
        "material": material.name,
        "bytes_a_clip": len(first.video.data) if hasattr(first.video, "data") else sum(map(len, first.video.frames)),
        "height": sample[1],
        "width": sample[2],
        "decode_clips_per_second": statistics.median(decoding),
        "pipeline_clips_per_second": statistics.median(pipeline),
        "ratio": statistics.median(p / d for p, d in zip(pipeline, decoding, strict=True)),
        "peak_megabytes": peak[0],
    }


def _wait_until_idle() -> None:
    """Waits until the stream has filled its buffers and idles."""
    process = psutil.Process()
    idle = 0
    while idle < 2:
        idle = idle + 1 if process.cpu_percent(0.3) < 5 else 0


def main() -> None:
    """Measures every material and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", help="a video to make the materials of; default: a moving texture")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--batches", type=int, default=4, help="batches a measurement")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", help="measure only materials whose name contains this")
    parser.add_argument("--json", type=pathlib.Path, help="write the numbers to this file")
    arguments = parser.parse_args()
    frames = _frames_of(arguments.video)
    print(f"clips/s, batches of {arguments.batch}")
    print(f"{'material':<28}{'decode':>10}{'pipeline':>10}{'ratio':>7}{'peak MB':>9}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, material in enumerate(MATERIALS):
            if arguments.only and arguments.only not in material.name:
                continue
            source = prepare_material(material, frames, 4 * arguments.batch, pathlib.Path(folder) / str(number))
            row = measure(source, material, arguments)
            rows.append(row)
            print(
                f"{material.name:<28}{row['decode_clips_per_second']:>10.1f}{row['pipeline_clips_per_second']:>10.1f}"
                f"{row['ratio']:>7.2f}{row['peak_megabytes']:>9.0f}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
