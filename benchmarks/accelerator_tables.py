"""Formats the records of an accelerator run as Markdown, for docs/performance.md."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from step_record import Record, reasons, results

_PASSES = {"forward": "forward", "f+b": "forward and backward"}


def tables(records: Mapping[str, Record]) -> str:
    """Formats all steps of a run.

    Args:
      records: of the steps by name; a step without a record was not reached.

    Returns:
      Markdown, in which everything that is missing has its reason.
    """
    lines: list[str] = []
    for name, (title, formatted) in _SECTIONS.items():
        record = records.get(name)
        lines += [f"### {title}", ""]
        if record is None:
            lines += ["Not measured: the run did not get there.", ""]
            continue
        if found := results(record):
            lines += [*formatted(found), ""]
        lines += [_not_measured(item, reason) for item, reason in reasons(record).items()]
        lines += [""] if reasons(record) else []
    return "\n".join(lines).rstrip()


def disagreements(records: Mapping[str, Record]) -> list[str]:
    """Lists what gives other numbers than its reference: forms of operators, training steps, networks."""
    found = []
    for name, ways in results(records["correctness"]).items() if "correctness" in records else ():
        for way, forms in ways.items():
            # What the library chooses must run; other forms are not for every platform and dtype.
            wrong = [form for form, each in forms.items() if not each.get("agrees", form != "default")]
            found += [f"{name}, {way}, {form}" for form in wrong]
    for name, result in results(records["training"]).items() if "training" in records else ():
        found += [] if result["same_network"] else [f"{name} beside PyTorch"]
    return found


def _not_measured(item: str, reason: str) -> str:
    return f"{f'{item}: n' if item else 'N'}ot measured: {reason}"


def _environment(found: Mapping[str, Any]) -> Iterator[str]:
    yield "| what | |"
    yield "|---|---|"
    for item in ("machine", "device", "nvidia-smi", "packages"):
        value = found.get(item, {})
        shown = value.items() if isinstance(value, Mapping) else [(item, value)]
        for name, each in shown:
            if each not in (None, "", {}, []) and name != "command":
                yield f"| {name.replace('_', ' ')} | {_inline(each)} |"
    for name, each in found.get("rates", {}).items():
        unit, scale = ("TFLOP/s", 1e12) if "flops" in name else ("GB/s", 1e9)
        yield f"| JAX's best {name.split('_per_')[0].replace('_', ' ')} | {each / scale:.3g} {unit} |"
    for name, sentences in found.get("requirements", {}).items():
        for sentence in sentences:
            yield f"| lacks, for {name} | {sentence} |"


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={each}" for name, each in value.items())
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _correctness(found: Mapping[str, Any]) -> Iterator[str]:
    ways = list(dict.fromkeys(way for each in found.values() for way in each))
    yield f"| operator | form | {' | '.join(f'{way}: largest error' for way in ways)} |"
    yield "|---|---|" + "---:|" * len(ways)
    for name, each in found.items():
        for form in dict.fromkeys(form for forms in each.values() for form in forms):
            cells = [_error(each.get(way, {}).get(form)) for way in ways]
            yield f"| {name} | {form} | {' | '.join(cells)} |"


def _error(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    if "refused" in found:
        return f"not here: {found['refused'][:80]}"
    # What is not finite is a text in JSON.
    error = found["error"] if isinstance(found["error"], str) else f"{found['error']:.0e}"
    return error if found["agrees"] else f"**{error}, above {found['limit']:.0e}**"


def _operators(found: Mapping[str, Any]) -> Iterator[str]:
    for operator in dict.fromkeys(each["operator"] for each in found.values()):
        of_operator = [each for each in found.values() if each["operator"] == operator]
        forms = list(dict.fromkeys(form for each in of_operator for rows in each["passes"].values() for form in rows))
        first = of_operator[0]
        yield f"{operator}, {first['batch']} clips, {first['dtype']}; median ms (least):"
        yield ""
        yield f"| shape | pass | {' | '.join(forms)} | JAX to PyTorch | GB/s of default | GFLOP/s |"
        yield "|---|---|" + "---:|" * (len(forms) + 3)
        for each in of_operator:
            for name, rows in each["passes"].items():
                cells = [_time(rows.get(form)) for form in forms]
                yield f"| {each['shape']} | {_PASSES[name]} | {' | '.join(cells)} | {_ratio_and_rates(each, name)} |"
        notes = {
            f"{form}: {row['note']}"
            for each in of_operator
            for rows in each["passes"].values()
            for form, row in rows.items()
            if row["note"]
        }
        yield ""
        yield from (_not_measured(form, reason) for form, reason in (note.split(": ", 1) for note in sorted(notes)))
        yield from [""] if notes else []


def _time(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    if not row["seconds"]:
        return "-"
    return f"{1e3 * statistics.median(row['seconds']):.3g} ({1e3 * min(row['seconds']):.3g})"


def _ratio_and_rates(case: Mapping[str, Any], name: str) -> str:
    rows = case["passes"][name]
    ours = rows.get("default", {}).get("seconds")
    theirs = [
        statistics.median(row["seconds"]) for form, row in rows.items() if form.startswith("pytorch") and row["seconds"]
    ]
    if not ours:
        return " | | "
    median = statistics.median(ours)
    ratio = f"{median / min(theirs):.2f}" if theirs else ""
    return f"{ratio} | {case['floor_bytes'][name] / median / 1e9:.3g} | {case['flops'][name] / median / 1e9:.3g}"


def _training(found: Mapping[str, Any]) -> Iterator[str]:
    columns = (
        "median ms (least)",
        "clips/s",
        "to PyTorch",
        "TFLOP/s",
        "of its own best product",
        "first call s",
        "peak MB",
    )
    yield f"| model, clips | task | framework | {' | '.join(columns)} |"
    yield "|---|---|---|" + "---:|" * len(columns)
    notes = []
    for name, result in found.items():
        shape = " x ".join(map(str, result["clips"]))
        for task, timings in result["tasks"].items():
            best = min(timing["median"] for framework, timing in timings.items() if framework != "jax")
            for framework, timing in timings.items():
                peak = "" if timing["peak_mb"] is None else f"{timing['peak_mb']:.0f}"
                cells = (
                    f"{1e3 * timing['median']:.4g} ({1e3 * timing['min']:.4g})",
                    f"{result['clips'][0] / timing['median']:.4g}",
                    f"{timing['median'] / best:.2f}",
                    f"{timing['flops_per_second'] / 1e12:.3g}",
                    f"{timing['share_of_peak']:.0%}",
                    f"{timing['first_seconds']:.1f}",
                    peak,
                )
                yield f"| {name}, {shape} | {task.replace('_', ' ')} | {framework} | {' | '.join(cells)} |"
        notes += [_not_measured(f"{name}, {each}", reason) for each, reason in result["left_out"].items()]
        difference = result["largest_logit_difference"] / result["largest_logit"]
        agrees = "" if result["same_network"] else ": **the networks are not the same**"
        notes.append(f"Logits of {name} differ by at most {difference:.1e} of the largest{agrees}.")
    yield ""
    yield from notes


def _profile(found: Mapping[str, Any]) -> Iterator[str]:
    for name, result in found.items():
        step, traced = (1e3 * statistics.median(result[key]) for key in ("untraced_step_seconds", "step_seconds"))
        shape = " x ".join(map(str, result["clips"]))
        yield f"{name}, a training step on {shape} in {result['dtype']}: {step:.1f} ms, {traced:.1f} with the profiler;"
        yield "milliseconds of a step:"
        yield from ("", result["by_place"], "", result["by_operation"], "")


_SECTIONS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Iterator[str]]]] = {
    "environment": ("Machine", _environment),
    "correctness": ("Agreement with higher precision", _correctness),
    "operators": ("Operators", _operators),
    "training": ("Training steps", _training),
    "profile": ("Where a training step spends its time", _profile),
}
