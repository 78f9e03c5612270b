"""The `example.py` of exports: classifies videos as `motion-vit predict` does, with nothing of this library.

The copy in an export has another docstring and, in place of the import of `load`, the code of the runner of its format
(`motion_vit.interop.exporting.example_script`).
"""

import argparse
import itertools
import json
import math
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import av
import cv2
import numpy as np

from motion_vit.interop.runners.run_onnx import load

Description = dict[str, Any]
Model = Callable[[np.ndarray], np.ndarray]


def open_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    """Takes the first video stream that is no cover picture and, as AVIF animations begin with, no single picture."""
    covers = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [one for one in container.streams.video if not one.disposition & covers]
    if not streams:
        raise ValueError("it has no video stream")
    stream = next((one for one in streams if one.frames != 1), streams[0])
    stream.codec_context.thread_count = 1  # with more, some versions of PyAV hang where reading ends early
    return stream


def decode(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> Iterator[av.VideoFrame]:
    """Decodes all frames in the order in which they are shown."""
    for packet in container.demux(stream):
        if packet.size or packet.dts is None:  # an empty one in the middle would end the decoder
            yield from packet.decode()


def frame_times(path: str) -> tuple[np.ndarray, float]:
    """Returns the seconds of each frame since the first, and the seconds until the last one ends."""
    with av.open(path) as container:
        stream = open_stream(container)
        frames = [(frame.pts, frame.duration or 0) for frame in decode(container, stream)]
        unit, gap = float(stream.time_base or 0), 1 / float(stream.average_rate or 25)
        declared = float(stream.duration or 0) * unit
    if not frames:
        raise ValueError("not one of its frames can be decoded")
    known = [pts for pts, _ in frames if pts is not None]
    if len(known) < len(frames):
        return gap * np.arange(len(frames)), gap * len(frames)
    times = np.sort(np.array(known) * unit)  # in AVI files they are numbers in the order of decoding
    times -= times[0]
    return times, max(declared, times[-1] + frames[-1][1] * unit, times[-1] + gap)


def choose_frames(times: np.ndarray, seconds: float, options: Description, clip: int, clips: int) -> list[int]:
    """Chooses the frames of clip number `clip` of `clips`; Python's `round` takes halves to the even number."""
    frames, fps = options["frames"], options["fps"]
    n = max(1, round(seconds * fps)) if fps else len(times)
    if options["sampling"] == "segment":
        segment = (n - 1) / frames
        shift = int(segment / (clips + 1) * (clip + 1))
        ticks = [min(round(segment * i) + shift, n - 1) for i in range(frames)]
    else:
        slack = max(0, n - ((frames - 1) * options["stride"] + 1))
        start = slack // 2 if clips == 1 else round(slack * clip / (clips - 1))
        ticks = [min(start + options["stride"] * i, n - 1) for i in range(frames)]
    return [nearest_frame(times, tick / fps, options["equally_near"]) for tick in ticks] if fps else ticks


def nearest_frame(times: np.ndarray, moment: float, equally_near: float) -> int:
    """Finds the frame nearest in time, the earlier of two that are equally near."""
    after = min(int(np.searchsorted(times, moment)), len(times) - 1)
    before = max(after - 1, 0)
    return after if times[after] - moment < moment - times[before] - equally_near else before


def turn_upright(picture: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Turns and mirrors a picture as the display matrix of the file asks."""
    try:
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist() if matrix else (1, 0, 0, 0, 1)
    except ValueError:  # PyAV lists none beside a kind that it does not know; the rotation it always tells
        turn = -math.radians(frame.rotation)
        a, b, c, d = math.cos(turn), math.sin(turn), -math.sin(turn), math.cos(turn)
    if abs(b) > abs(a):
        picture, a, d = picture.transpose(1, 0, 2), c, b
    return picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def read_pictures(path: str, numbers: set[int], size: int) -> dict[int, np.ndarray]:
    """Decodes frames to upright RGB whose shorter side has `size` pixels; the first one decides the shape of all."""
    found: dict[int, np.ndarray] = {}
    shape: tuple[int, int] | None = None
    with av.open(path) as container:
        for number, frame in enumerate(decode(container, open_stream(container))):
            if number not in numbers:
                continue
            if shape is None:
                first, scale = frame, min(1.0, size / min(frame.width, frame.height))
                shape = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
            rgb = frame.reformat(*shape, "rgb24").to_ndarray()  # libswscale: colours, and bilinear scaling down
            picture = np.ascontiguousarray(turn_upright(rgb, first))
            height, width = picture.shape[:2]
            height, width = (size, size * width // height) if height <= width else (size * height // width, size)
            found[number] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)  # scales up alone
            if len(found) == len(numbers):
                break
    return found


def read_views(path: str, description: Description) -> np.ndarray:
    """Reads the views of a video: uint8 [clips * crops, frames, size, size, 3], RGB."""
    times, seconds = frame_times(path)
    clips, size = description["views"]["clips"], description["crop"]["size"]
    chosen = [choose_frames(times, seconds, description["frames"], clip, clips) for clip in range(clips)]
    pictures = read_pictures(path, set(itertools.chain(*chosen)), size)
    views = []
    for frames in chosen:
        clip = np.stack([pictures[frame] for frame in frames])
        height, width = clip.shape[1:3]
        for place in description["crop"]["places"]:
            top = math.ceil((height - size) * (place if height > width else 0.5))
            left = math.ceil((width - size) * (0.5 if height > width else place))
            views.append(clip[:, top : top + size, left : left + size])
    return np.stack(views)


def normalise(views: np.ndarray, options: Description) -> np.ndarray:
    """Converts RGB from 0 to 255 to the inputs of the model, in float32."""
    mean, std = np.float32(options["mean"]), np.float32(options["std"])
    inputs = (views.astype(np.float32) / np.float32(255) - mean) / std
    return inputs if options["channel_order"] == "rgb" else inputs[..., ::-1]


def classify(path: str, model: Model, description: Description) -> np.ndarray:
    """Returns the probability of each class."""
    return probabilities_of(mean_logits(path, model, description), description)


def mean_logits(path: str, model: Model, description: Description) -> np.ndarray:
    """Returns the logits of a video, averaged over its views."""
    views = read_views(path, description)
    inputs = normalise(views, description["normalisation"]) if description["input"]["normalised"] else views
    batch = description["input"]["shape"][0] or 1
    rows = []
    for start in range(0, len(inputs), batch):
        part = inputs[start : start + batch]
        padding = [(0, batch - len(part))] + [(0, 0)] * 4
        rows.append(model(np.pad(part, padding))[: len(part)])
    outputs = np.concatenate(rows)
    if description["output"]["name"] == "probabilities":
        outputs = np.log(np.maximum(outputs, np.finfo(np.float32).tiny))  # logits, up to what the softmax ignores
    return np.asarray(outputs.mean(axis=0))


def probabilities_of(logits: np.ndarray, description: Description) -> np.ndarray:
    """Makes probabilities of logits: by the softmax, or of evidence."""
    if (concentration := concentration_of(logits, description)) is not None:
        return np.asarray(concentration / concentration.sum())
    exponentials = np.exp(logits - logits.max())
    return np.asarray(exponentials / exponentials.sum())


def concentration_of(logits: np.ndarray, description: Description) -> np.ndarray | None:
    """Makes evidence of logits, and adds 1 for each class; None of a model that was not trained with evidence."""
    evidence = description["probabilities"].get("evidence")
    if evidence is None:
        return None
    if evidence == "exp":
        return np.asarray(1 + np.exp(np.clip(logits, -10, 10)))
    return np.asarray(1 + (np.maximum(logits, 0) if evidence == "relu" else np.logaddexp(0, logits)))


def main() -> None:
    """Reads the command line, classifies the videos and prints their most probable classes."""
    parser = argparse.ArgumentParser(description="Classifies videos with the model beside this file.")
    parser.add_argument("videos", nargs="+", metavar="VIDEO")
    parser.add_argument("--top", type=int, default=5, help="how many classes to print; default: 5")
    options = parser.parse_args()
    folder = pathlib.Path(__file__).resolve().parent
    description = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    model = load(folder)
    failed = 0
    for video in options.videos:
        print(f"{video!a}")
        try:
            logits = mean_logits(video, model, description)
        except (av.error.FFmpegError, ValueError) as error:
            reason = error.strerror if isinstance(error, av.error.FFmpegError) else error
            print(f"  not classified: {reason}")
            failed += 1
            continue
        probabilities = probabilities_of(logits, description)
        for number in np.argsort(-probabilities, kind="stable")[: options.top]:
            print(f"  {probabilities[number]:.6f}  {description['label_names'][number]!a}")
        if (concentration := concentration_of(logits, description)) is not None:
            print(f"  {len(concentration) / concentration.sum():.6f}  uncertainty")
    if failed:
        sys.exit(f"{failed} of {len(options.videos)} videos not classified")


if __name__ == "__main__":
    main()
