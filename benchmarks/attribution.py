"""Compares maps that attribute an answer to parts of a clip, by what happens when these parts are changed.

    python benchmarks/attribution.py --checkpoint demo

Clips of the embedded dataset are rendered with seeds that its splits do not draw, of the classes in which an object
moves as a whole over a drifting background. Each map is of the most probable class of a clip, and is measured by

- deletion: the area under the probability of the class as the most important pixels are covered with grey (lower is
  better);
- insertion: the area under it as they are shown on a grey clip (higher is better);
- motion removal: the drop of the probability where the motion of the patches along the most important tracks is
  frozen, minus the drop for the same region in random places (higher is better); see
  `motion_vit.visualization.motion_removal`. Tracks follow the motion field of the first EMIM layer.

For comparison there are random maps, the speed of the model's own motion field, and the moving object itself, which the
renderer knows. Cells have the median over the clips of all seeds and, in brackets, the quartiles; below it are the
medians of each seed.
"""

import argparse
import collections
import math
import pathlib
import time
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from motion_vit.data.batches.evaluation_batches import view_ticks
from motion_vit.data.embedded.motion_scenes import object_motion, render_clip
from motion_vit.training.checkpoints.load_trained import load_trained
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.recipe.clips import clip_options
from motion_vit.visualization.attribution_maps import integrated_gradient_maps, occlusion_maps
from motion_vit.visualization.class_maps import Contrast, class_activation_maps, grad_cams
from motion_vit.visualization.clip_recording import ClipRecording, Subject, record_clip
from motion_vit.visualization.clip_versions import version_probabilities
from motion_vit.visualization.clip_view import place_view
from motion_vit.visualization.displacement import DisplacementField
from motion_vit.visualization.insertion_deletion import PixelScores, answer_curves, pixel_scores
from motion_vit.visualization.layer_maps import MotionMap
from motion_vit.visualization.motion_maps import motion_maps
from motion_vit.visualization.motion_removal import freeze, motion_removal

LABELS = ("right", "left", "down", "up")
METRICS = ("deletion", "insertion", "motion removal")
Results = dict[str, list[tuple[float, float, float]]]
"""Name of a map -> deletion, insertion and motion removal of each clip."""

# Of the seeds of rendered clips, so that they are none of the training videos or of other measurements.
_STREAM = 13


def maps_of(subject: Subject, recorded: ClipRecording, motion: MotionMap, number: int) -> dict[str, PixelScores]:
    """Computes all maps of the most probable class, as scores of pixels."""
    best: list[Contrast] = [(int(np.argmax(recorded.logits)), None)]
    maps = {
        "CAM": class_activation_maps(subject, recorded, best)[0],
        "Grad-CAM, stage 3": grad_cams(subject, best, ["stage3"])[0],
        "integrated gradients": integrated_gradient_maps(subject, best)[0],
        "occlusion": occlusion_maps(subject, best)[0],
    }
    scores = {name: pixel_scores(one.values[0], one.grid) for name, one in maps.items()}
    speed = np.hypot(motion.flow[0, ..., 0], motion.flow[0, ..., 1])
    # The frames that start no pair have the speed of the last pair, as tracks do.
    frames = np.minimum(np.arange(motion.grid.frames), len(speed) - 1)
    scores["speed of the motion field"] = pixel_scores(speed[frames], motion.grid)
    shape = subject.inputs.shape[1:4]
    scores["random"] = np.random.default_rng(number).random(shape, np.float32)
    return scores


def measure(trained: TrainedModel, seed: int, clips: int, share: float, size: int) -> tuple[Results, list[float]]:
    """Measures all maps on some clips; also returns the drops of the probability where whole clips are frozen."""
    results: Results = collections.defaultdict(list)
    drops = []
    options, model = clip_options(trained.config), trained.model
    normalize = normalization(trained.config)
    for number in range(clips):
        label, stream = LABELS[number % len(LABELS)], np.random.SeedSequence((seed, number, _STREAM))
        length = (options.decoded_frames - 1) * options.stride + 1
        numbers = view_ticks(length, options)
        placed = place_view((size, size), tuple(numbers.tolist()), options.size)
        inputs = normalize(jnp.asarray(placed.cut(render_clip(label, stream, frames=length, size=size)[numbers]))[None])
        cover = object_motion(label, stream, frames=length, size=size).cover[numbers]
        # The clip itself is the video here, so that maps are in its pixels.
        view = place_view((options.size, options.size), tuple(range(len(numbers))), options.size)
        subject = Subject(model, trained.variables, inputs, view, trained.label_names)
        recorded = record_clip(subject, ("motion", "cam"), asked=True)
        motion = motion_maps(subject, recorded)[0]
        field = DisplacementField(motion.field.flow[0], motion.field.confidence[0], motion.field.frame_offset)
        scores = maps_of(subject, recorded, motion, number)
        scores["the object itself"] = np.stack([_resized(frame, options.size) for frame in cover])
        clip, best = np.asarray(inputs[0]), int(np.argmax(recorded.logits))
        for name, pixels in scores.items():
            curves = answer_curves(model, trained.variables, clip, pixels, best)
            removal = motion_removal(
                model, trained.variables, clip, pixels, field, motion.grid, best, share=share, seed=number
            )
            results[name].append((curves.deletion_area, curves.insertion_area, removal.score))
        frozen = freeze(clip, np.ones(clip.shape[1:3], bool))
        whole, still = version_probabilities(model, trained.variables, [clip, frozen])[:, best]
        drops.append(float(whole - still))
    return results, drops


def _resized(frame: np.ndarray, side: int) -> np.ndarray:
    """Takes the nearest pixels."""
    places = ((np.arange(side) + 0.5) * len(frame) / side).astype(int)
    return frame[np.ix_(places, places)]


def table(by_seed: Mapping[int, Results]) -> str:
    """Formats the medians and quartiles in Markdown."""
    lines = [f"| map | {' | '.join(METRICS)} |", f"|---|{'---|' * len(METRICS)}"]
    for name in next(iter(by_seed.values())):
        each = {seed: np.asarray(results[name]) for seed, results in by_seed.items()}
        low, middle, high = np.quantile(np.concatenate(list(each.values())), (0.25, 0.5, 0.75), axis=0)
        seeds = np.stack([np.median(values, axis=0) for values in each.values()])
        cells = [
            f"{middle[n]:.3f} [{low[n]:.3f}, {high[n]:.3f}]<br>{', '.join(f'{value:.3f}' for value in seeds[:, n])}"
            for n in range(len(METRICS))
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=pathlib.Path, default=pathlib.Path("demo"), help="run, weights or demo")
    parser.add_argument("--clips", type=int, default=8, help="clips of each seed")
    parser.add_argument("--seeds", type=int, default=3, help="seeds, from 0")
    parser.add_argument("--share", type=float, default=1 / 3, help="of the tracks, whose motion is frozen")
    parser.add_argument("--size", type=int, default=64, help="height and width of a rendered video in pixels")
    arguments = parser.parse_args()
    trained = load_trained(str(arguments.checkpoint))
    started = time.process_time()
    by_seed, drops = {}, []
    for seed in range(arguments.seeds):
        by_seed[seed], of_seed = measure(trained, seed, arguments.clips, arguments.share, arguments.size)
        drops += of_seed
    print(
        f"{arguments.seeds} seeds of {arguments.clips} clips each; {100 * arguments.share:.0f} % of the tracks frozen\n"
    )
    print(table(by_seed))
    print(
        f"\nThe whole clip frozen: a drop of {np.median(drops):.3f} "
        f"[{', '.join(f'{value:.3f}' for value in np.quantile(drops, (0.25, 0.75)))}]. "
        f"Processor time: {math.ceil(time.process_time() - started)} s."
    )


if __name__ == "__main__":
    main()
