"""Compares the motion in a trained EMIM's cost volumes with known motion, on rendered clips.

    python benchmarks/motion_fields.py --checkpoint build/demo/run

There are two kinds of clips: "scenes" of the embedded dataset in which an object moves over a drifting background, and
"textures", where the whole picture moves at one of several speeds in one of eight directions. Errors are taken at
patches that the object covers by more than half, and whose place in the second frame lies in the picture. They are: the
end-point error in pixels of the rendered video between the frames of a pair; the angular error in degrees as Middlebury
defines it, of (x, y, 1) in those pixels; and the plain angle between directions.

Every EMIM layer has a row with all heads averaged, as the model's own softmax has them, and a row with its best head.
Rows for comparison are the same with fresh weights, the cost volumes of the patch features that enter its stage and of
the pixels of its patches, and the field of no motion. Best heads and temperatures of the softmax ("tuned") are chosen
on half of the clips, by end-point error, and all errors are of the other half.
"""

import argparse
import collections
import functools
import json
import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import view_ticks
from motion_vit.data.embedded.cyclic_texture import noise_tiles, sample_noise
from motion_vit.data.embedded.motion_scenes import object_motion, render_clip
from motion_vit.errors import UserError
from motion_vit.models.checked_model import trace_model
from motion_vit.models.frame_offset import frame_offset
from motion_vit.training.checkpoints.load_trained import load_trained
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.recipe.clips import clip_options
from motion_vit.visualization import recording
from motion_vit.visualization.clip_view import place_view
from motion_vit.visualization.displacement import (
    displacement_field,
    patch_feature_cost_volume,
    pixel_patches,
)
from motion_vit.visualization.motion_field_error import angular_error, direction_error, endpoint_error
from motion_vit.visualization.token_grid import TokenGrid, token_grid

LABELS = ("right", "left", "down", "up")
TEMPERATURES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_OWN = (1.0, "mean")  # what the model does
_COVERED = 0.5
# Speeds of textures, in widths of the picture from the first to the second frame of a pair.
_SPEEDS = (0.03, 0.06, 0.12, 0.18)

Choice = tuple[float, "str | int"]
"""Temperature, and head or "mean"."""


class Clip(NamedTuple):
    """Whole frames, the true velocity (x, y) in pixels a frame, and the share of each pixel that moves by it."""

    frames: np.ndarray
    velocity: tuple[float, float]
    cover: np.ndarray


class Row(NamedTuple):
    """Errors of a field, averaged over patches."""

    field: str
    layer: str
    chosen: str
    endpoint: float
    angular: float
    direction: float
    patches: int


def scenes(count: int, frames: int, size: int) -> Iterator[Clip]:
    """Renders clips of the embedded dataset with seeds that its splits do not draw."""
    for number in range(count):
        label, seed = LABELS[number // 2 % len(LABELS)], np.random.SeedSequence((number, 7))
        velocity, cover = object_motion(label, seed, frames=frames, size=size)
        yield Clip(render_clip(label, seed, frames=frames, size=size), velocity, cover)


def textures(count: int, frames: int, size: int, apart: int) -> Iterator[Clip]:
    """Renders coloured noise that moves as a whole; `apart` frames lie between the frames of a pair."""
    rows, columns = (np.indices((size, size)) + 0.5) / size
    for number in range(count):
        random = np.random.default_rng((number, 11))
        angle = 2 * math.pi * (number // 2 % 8) / 8
        speed = _SPEEDS[number // 16 % len(_SPEEDS)] / apart
        x, y = speed * math.cos(angle), speed * math.sin(angle)
        tiles, wavelength = noise_tiles(random, 3), random.uniform(0.2, 0.4)  # as the scenes' own
        pictures = [
            [sample_noise(tile, columns - x * frame, rows - y * frame, wavelength) for tile in tiles]
            for frame in range(frames)
        ]
        pixels = np.clip(127.5 + 50 * np.moveaxis(np.asarray(pictures), 1, -1), 0, 255).astype(np.uint8)
        yield Clip(pixels, (x * size, y * size), np.ones(pixels.shape[:3], np.float32))


def cost_volumes(
    model: nn.Module, variables: Mapping[str, Any], clips: jax.Array, layers: list[str]
) -> dict[tuple[str, str], jax.Array]:
    """Returns the cost volumes of EMIM layers and of the baselines, by the name of the field and the layer."""
    entering = {layer: _entering(model, layer) for layer in layers}
    maps = recording.record(model, variables, clips, [*layers, *dict.fromkeys(entering.values())]).maps
    found = {}
    for layer in layers:
        window, offset = math.isqrt(maps[layer].shape[-1]), frame_offset(model)
        features = maps[entering[layer]]
        match = jax.jit(functools.partial(patch_feature_cost_volume, window=window, frame_offset=offset))
        found["EMIM", layer] = maps[layer]
        found["patch features", layer] = match(features)
        found["pixels", layer] = match(pixel_patches(clips, clips.shape[2] // features.shape[2]))
    return found


def _entering(model: nn.Module, layer: str) -> str:
    """Names the tokens that enter the stage of a UniFormer's layer."""
    stage = layer.split("/block", 1)[0]
    name = f"{stage.replace('stage', 'patch_embed')}_output"
    if name not in recording.names(model):
        raise UserError(
            f"fields are compared for layers of a UniFormer, whose stages start with patches; given {layer}"
        )
    return name


def flows(volume: jax.Array) -> dict[Choice, np.ndarray]:
    """Returns the fields of a cost volume, in patches, for every temperature and head and for the mean of the heads."""
    found: dict[Choice, np.ndarray] = {}
    for temperature, (mean, each) in _tempered(volume).items():
        found[temperature, "mean"] = np.asarray(mean)
        found |= {(temperature, head): np.asarray(each[:, head]) for head in range(each.shape[1])}
    return found


@jax.jit
def _tempered(volume: jax.Array) -> dict[float, tuple[jax.Array, jax.Array]]:
    """Returns, for every temperature, the flow of the mean of the heads, and of each head."""
    return {
        temperature: (
            displacement_field(volume, temperature=temperature).flow,
            displacement_field(volume, temperature=temperature, heads="each").flow,
        )
        for temperature in TEMPERATURES
    }


def moving_patches(clip: Clip, grid: TokenGrid, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """Selects patches of the first frames of pairs, `[n, h, w]`, and their displacements in pixels, `[n, 2]`."""
    pairs = len(grid.clip_frames) - offset
    numbers = [grid.frame_numbers[frame] for frame in grid.clip_frames]
    displacements = np.asarray([np.multiply(clip.velocity, numbers[n + offset] - numbers[n]) for n in range(pairs)])
    counted = np.zeros((pairs, grid.rows, grid.columns), bool)
    top, left, height, width = grid.box
    for n, row, column in np.ndindex(counted.shape):
        y, x, high, wide = grid.patch_box(row, column)
        rows, columns = slice(round(y), round(y + high)), slice(round(x), round(x + wide))
        y, x = np.add(grid.centre(row, column), displacements[n, ::-1])
        seen = top <= y < top + height and left <= x < left + width
        counted[n, row, column] = seen and clip.cover[numbers[n], rows, columns].mean() > _COVERED
    return counted, displacements


def compare(trained: TrainedModel, clips: list[Clip], options: ClipOptions) -> list[Row]:
    """Measures all fields on clips; those with even numbers choose heads and temperatures, the others are scored."""
    model = trained.model
    layers = recording.choose(list(recording.names(model)), ["*/cost_volume"])
    numbers = tuple(view_ticks(len(clips[0].frames), options))
    view = place_view(clips[0].frames.shape[1:3], numbers, options.size)
    inputs = normalization(trained.config)(np.stack([view.cut(clip.frames[list(numbers)]) for clip in clips]))
    fields = {name: flows(volume) for name, volume in cost_volumes(model, trained.variables, inputs, layers).items()}
    fresh = jax.jit(trace_model(model).init)(jax.random.key(0))
    untrained = recording.record(model, fresh, inputs, layers).maps
    fields |= {("EMIM, fresh weights", layer): flows(volume) for layer, volume in untrained.items()}
    rows = []
    for layer in layers:
        grid = token_grid(model, layer, view)
        moving = [moving_patches(clip, grid, frame_offset(model)) for clip in clips]
        of_layer = {name: found for (name, own_layer), found in fields.items() if own_layer == layer}
        still = {_OWN: np.zeros_like(next(iter(of_layer.values()))[_OWN])}
        for name, found in {**of_layer, "no motion": still}.items():
            rows += _rows(name, layer, found, moving, grid)
    return rows


def _rows(
    name: str, layer: str, found: dict[Choice, np.ndarray], moving: list[tuple[np.ndarray, np.ndarray]], grid: TokenGrid
) -> list[Row]:
    """Measures a field as the model has it, and tuned."""

    def pooled(choice: Choice, part: int) -> tuple[np.ndarray, np.ndarray]:
        flow = found[choice] * np.asarray([grid.stride[1], grid.stride[0]])
        chosen = [number for number in range(len(moving)) if number % 2 == part]
        truths = [np.broadcast_to(moving[c][1][:, None, None], flow[c].shape)[moving[c][0]] for c in chosen]
        return np.concatenate([flow[c][moving[c][0]] for c in chosen]), np.concatenate(truths)

    def row(title: str, choice: Choice, words: str) -> Row:
        flow, truth = pooled(choice, 1)
        directions = direction_error(flow, truth)
        direction = float(np.nanmean(directions)) if np.isfinite(directions).any() else math.nan
        errors = float(endpoint_error(flow, truth).mean()), float(angular_error(flow, truth).mean())
        return Row(title, layer, words, *errors, direction, len(flow))

    own = name.startswith("EMIM") or len(found) == 1
    rows = [row(name, _OWN, "as the model has it" if len(found) > 1 else "")] if own else []
    if len(found) > 1:
        best = min(found, key=lambda choice: endpoint_error(*pooled(choice, 0)).mean())
        head = "mean of heads" if best[1] == "mean" else f"head {best[1]}"
        heads = collections.Counter(choice[1] for choice in found)
        rows.append(row(f"{name}, tuned", best, f"temperature {best[0]:g}" + (f", {head}" if len(heads) > 2 else "")))
    return rows


def table(rows: list[Row]) -> str:
    """Formats the errors in Markdown."""
    lines = [
        "| layer | field | chosen | end-point error (px) | angular error | direction error |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        direction = "" if math.isnan(row.direction) else f"{row.direction:.1f}°"
        layer = row.layer.removesuffix("/attention/cost_volume")
        lines.append(
            f"| {layer} | {row.field} | {row.chosen} | {row.endpoint:.2f} | {row.angular:.1f}° | {direction} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Reads the command line, renders, compares and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=pathlib.Path, required=True, help="workdir of a run, or a weights folder")
    parser.add_argument("--clips", type=int, default=128, help="clips of each kind")
    parser.add_argument("--frames", type=int, default=16, help="frames of a rendered video")
    parser.add_argument("--size", type=int, default=64, help="height and width of a rendered video in pixels")
    parser.add_argument("--json", type=pathlib.Path, help="file for the numbers")
    arguments = parser.parse_args()
    trained = load_trained(arguments.checkpoint)
    options = clip_options(trained.config)
    numbers = view_ticks(arguments.frames, options)
    apart = max(1, int(numbers[1] - numbers[0])) * frame_offset(trained.model)
    kinds = {
        "scenes": list(scenes(arguments.clips, arguments.frames, arguments.size)),
        "textures": list(textures(arguments.clips, arguments.frames, arguments.size, apart)),
    }
    found = {kind: compare(trained, clips, options) for kind, clips in kinds.items()}
    for kind, rows in found.items():
        patches = {row.layer: row.patches for row in rows}
        speeds = [np.hypot(*clip.velocity) * apart for clip in kinds[kind][1::2]]
        print(
            f"\n{kind}: {len(speeds)} clips that count, {min(speeds):.1f} to {max(speeds):.1f} pixels of "
            f"{arguments.size} between the frames of a pair; patches: {', '.join(map(str, patches.values()))}\n"
        )
        print(table(rows))
    if arguments.json:
        numbers_of = {kind: [row._asdict() for row in rows] for kind, rows in found.items()}
        arguments.json.write_text(json.dumps(numbers_of, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
