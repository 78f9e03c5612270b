"""Formats the results of the model benchmark in Markdown."""

from collections.abc import Iterator, Mapping
from typing import Any

from run_conditions import conditions_line

TITLES = {"train_step": "training step", "forward_backward": "forward and backward"}


def table(result: Mapping[str, Any]) -> str:
    """Formats all results: conditions, tasks of the network, stages, and the agreement of outputs.

    Args:
      result: of `model.run`.

    Returns:
      Lines of Markdown.
    """
    shape = " x ".join(map(str, result["clips"]))
    lines = [f"{result['model']}, clips {shape}, {result['dtype']}", conditions_line(result["conditions"])]
    for name, settings in result["frameworks"].items():
        rate = result["matmul_flops_per_second"][name] / 1e9
        lines.append(f"{name}: {_settings(settings)}; a large matrix product reaches {rate:.0f} GFLOP/s")
    lines += [f"{name}: left out: {reason}" for name, reason in result["left_out"].items()]
    lines += ["", *_rows("task", result["tasks"]), ""]
    if result["stages"]:
        parts = {
            f"{stage}, {TITLES.get(task, task)}": passes[task]
            for stage, passes in result["stages"].items()
            for task in ("forward", "forward_backward")
        }
        lines += [*_rows("stage", parts), ""]
    losses = ", ".join(f"{name} {values[0]:.6f} to {values[-1]:.6f}" for name, values in result["losses"].items())
    lines.append(
        f"logits differ by at most {result['largest_logit_difference']:.1e}, the largest is "
        f"{result['largest_logit']:.2f}; losses over the steps: {losses}"
    )
    if result["stages"]:
        largest = max(stage["largest_relative_difference"] for stage in result["stages"].values())
        lines.append(f"outputs of stages differ by at most {largest:.1e} of the largest number in them")
    return "\n".join(lines)


def _settings(settings: Mapping[str, Any]) -> str:
    """Formats a framework's settings in a line, with those options of the model that differ between runs."""
    shown = {name: value for name, value in settings.items() if name != "options" and value not in (None, False)}
    return ", ".join(
        name.replace("_", " ") if value is True else str(value) if name in ("version", "device") else f"{name} {value}"
        for name, value in shown.items()
    )


def _rows(title: str, parts: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Formats a table with a row for each framework of each part."""
    has_memory = any("peak_mb" in timing for timings in parts.values() for timing in timings.values())
    header = [title, "framework", "median s (min)", "to PyTorch", "GFLOP", "GFLOP/s", "of peak", "first call s"]
    header += ["peak MB"] if has_memory else []
    yield f"| {' | '.join(header)} |"
    yield "|---|---|" + "---:|" * (len(header) - 2)
    for part, timings in parts.items():
        # PyTorch's best form is what the others are measured by.
        best = min(timing["median"] for name, timing in timings.items() if name != "jax")
        for name, timing in timings.items():
            cells = [
                TITLES.get(part, part),
                name,
                f"{timing['median']:.4g} ({timing['min']:.4g})",
                f"{timing['median'] / best:.2f}",
                f"{timing['flops'] / 1e9:.3g}",
                f"{timing['flops_per_second'] / 1e9:.3g}",
                f"{timing['share_of_peak']:.0%}",
                f"{timing['first_seconds']:.1f}",
            ]
            if has_memory:
                cells.append("unknown" if timing["peak_mb"] is None else f"{timing['peak_mb']:.0f}")
            yield f"| {' | '.join(cells)} |"
