"""The timed steps of an accelerator run: operators, training steps, and the profile of one."""

import argparse
import functools
import os
from collections.abc import Sequence
from typing import Any

from step_process import Items

CLIPS = 40
"""Clips of a batch of operators and of UniFormer-S."""

_LONGEST_OPERATIONS, _KEPT_OPERATIONS = 15, 300


def operators(rehearsal: bool) -> Items:
    """Yields the operators at the shapes of the stages of UniFormer-S and -B."""
    from operator_cases import cost_volume_case, depthwise_case, global_attention_case

    if rehearsal:
        chosen = [(global_attention_case(1, 8, 1, 8), ("default", "cudnn"))]
    else:
        xla = ("xla_window", "xla_dense", "xla_take", "xla_onehot")
        chosen = [(cost_volume_case(CLIPS, 15, side, heads), ("default", *xla)) for side, heads in ((14, 5), (7, 8))]
        chosen += [
            (global_attention_case(CLIPS, tokens, heads), ("default", "cudnn", "xla", "chunked", "stacked"))
            for tokens, heads in ((3136, 5), (784, 8))
        ]
        chosen += [
            (depthwise_case(CLIPS, 16, side, channels, kernel), ("default", "xla_conv", "shifted", "shifted_conv"))
            for side, channels, kernel in (
                *((56, 64, 5), (28, 128, 5), (56, 64, 3)),
                *((28, 128, 3), (14, 320, 3), (7, 512, 3)),
            )
        ]
    for case, forms in chosen:
        yield f"{case.name}, {case.shape}", functools.partial(time_operator, case, forms, rehearsal=rehearsal)


def time_operator(case: Any, forms: Sequence[str], *, rehearsal: bool) -> dict[str, Any]:
    """Times forms of an operator beside PyTorch's; see `operators.run_case`."""
    import dataclasses

    from operators import run_case

    options = argparse.Namespace(
        forms=",".join((*forms, *case.pytorch)),
        dtype="bfloat16",
        repeats=2 if rehearsal else 15,
        seconds=1.0,
        memory_limit=48.0,
        clock="wall",
        compile_threads=1 if rehearsal else min(8, os.cpu_count() or 1),
    )
    found = run_case(case, options)
    return {
        "operator": case.name,
        "shape": case.shape,
        "dtype": options.dtype,
        "batch": next(iter(case.arrays.values()))[0],
        "floor_bytes": {name: case.floor_bytes(2, backward=name == "f+b") for name in found},
        "flops": {name: case.flops(backward=name == "f+b") for name in found},
        "passes": {name: {form: dataclasses.asdict(row) for form, row in rows.items()} for name, rows in found.items()},
    }


def training(rehearsal: bool) -> Items:
    """Yields training steps of UniFormer-S and -B beside PyTorch with automatic mixed precision, compiled and not."""
    if rehearsal:
        tiny = {"width": 24, "depth": 1, "patch_size": 8}
        yield "timesformer_tiny", lambda: time_training("timesformer_tiny", 2, tiny, frames=2, image_size=16, repeats=1)
        return
    for name, clips in (("uniformer_emim_s", CLIPS), ("uniformer_emim_b", CLIPS // 2)):
        yield name, functools.partial(time_training, name, clips, {}, compiled=True)


def time_training(
    name: str,
    clips: int,
    model_options: dict[str, Any],
    *,
    frames: int | None = None,
    image_size: int | None = None,
    repeats: int = 3,
    compiled: bool = False,
) -> dict[str, Any]:
    """Times a model's forward pass and training step in bfloat16; see `model.run`.

    Args:
      name: of the model.
      clips: of a batch.
      model_options: of the model, besides the shape of its clips.
      frames: of a clip, by default the model's.
      image_size: in pixels, by default the model's.
      repeats: turns of each framework.
      compiled: whether to time `torch.compile`, too; all processes then compile at once.

    Returns:
      The result of `model.run`, and `same_network`.
    """
    import model

    options = argparse.Namespace(
        model=name,
        batch=clips,
        frames=frames,
        image_size=image_size,
        num_classes=174,
        dtype="bfloat16",
        option=list(model_options.items()),
        compile=compiled,
        stages=False,
        repeats=repeats,
        huge_pages=True,
        compile_together=compiled,
    )
    result = model.run(options)
    return result | {"same_network": model.same_network(result)}


def profile(rehearsal: bool) -> Items:
    """Yields the profile of a training step."""
    if rehearsal:
        tiny = {"frames": 2, "image_size": 16, "width": 24, "depth": 1, "patch_size": 8}
        yield "timesformer_tiny", functools.partial(profile_training, "timesformer_tiny", 2, tiny)
        return
    yield "uniformer_emim_s", functools.partial(profile_training, "uniformer_emim_s", CLIPS, {})


def profile_training(name: str, clips: int, model_options: dict[str, Any]) -> dict[str, Any]:
    """Profiles a training step in bfloat16; see `profile_step.profile`.

    Args:
      name: of the model.
      clips: of a batch.
      model_options: of the model, besides the shape of its clips.

    Returns:
      The profile, and as Markdown `by_place` and `by_operation`, because the tables are put together without JAX.
    """
    import jax
    from profile_step import operations_table
    from profile_step import profile as profile_model
    from profile_step import table as places_table
    from run_conditions import conditions

    import motion_vit

    model = motion_vit.create_model(name, num_classes=174, dtype="bfloat16", **model_options)
    found = profile_model(model, clips, steps=3)
    tables = {"by_place": places_table(found), "by_operation": operations_table(found, _LONGEST_OPERATIONS)}
    found["operations"] = found["operations"][:_KEPT_OPERATIONS]
    return {
        "model": name,
        "dtype": "bfloat16",
        "clips": [clips, *model.clip_shape],
        "device": jax.devices()[0].device_kind,
        "conditions": conditions(),
        **found,
        **tables,
    }
