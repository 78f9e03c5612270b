"""Formats a scaling report as human-readable text."""

from motion_vit.counts import counted
from motion_vit.training.ahead_of_time.report import MemoryByKind, ScalingReport

_MEMORY_NAMES = {
    "params": "parameters",
    "opt_state": "optimizer",
    "other_state": "statistics, averages, counters",
    "batch": "batch",
    "padding": "padding of these",
    "outputs": "outputs",
    "temporaries": "temporaries (activations)",
    "code": "program",
}


def format_report(report: ScalingReport) -> str:
    """Formats a report.

    Args:
      report: memory, costs and the compiler's refusal.

    Returns:
      Lines of text. GB and MB are 1e9 and 1e6 bytes, TFLOP 1e12 operations.
    """
    axes = " x ".join(f"{axis} {size}" for axis, size in report.mesh.items() if size > 1) or "one device"
    lines = [
        f"{report.topology}: {report.devices} x {report.device_kind} ({axes}), {counted(report.clips, 'clip')} a step, "
        f"{report.clips_per_device:g} a device; compiled in {report.compile_seconds:.1f} s",
        "",
        *_memory_lines(report),
    ]
    if report.costs is not None:
        lines += ["", *_cost_lines(report)]
    return "\n".join(lines)


def _memory_lines(report: ScalingReport) -> list[str]:
    if report.memory is None:
        return [f"does not fit: {report.refusal}"]
    rows = [(_MEMORY_NAMES[kind], getattr(report.memory, kind)) for kind in MemoryByKind.__dataclass_fields__]
    lines = ["memory of a device                  MB"]
    lines += [f"  {name:<31} {size / 1e6:10,.1f}" for name, size in rows]
    total = f"  {'all':<31} {report.memory.total / 1e6:10,.1f}"
    if report.limit is None:
        return [*lines, f"{total}  (how much there is, is not known)"]
    share = report.memory.total / report.limit
    verdict = "fits" if report.fits else "does not fit"
    return [*lines, f"{total}  of {report.limit / 1e6:,.1f}: {verdict}, {100 * share:.0f} %"]


def _cost_lines(report: ScalingReport) -> list[str]:
    costs = report.costs
    if costs is None:
        return []
    clips = report.clips_per_device
    lines = [
        "a step on a device",
        f"  {'arithmetic':<31} {costs.flops / 1e12:10,.3f} TFLOP of matrix products and convolutions, "
        f"{costs.flops / clips / 1e12:.3f} a clip",
        f"  {'memory accessed':<31} {costs.bytes_accessed / 1e9:10,.2f} GB, "
        f"{costs.bytes_accessed / clips / 1e9:.2f} a clip",
    ]
    if costs.main_memory_bytes != costs.bytes_accessed:
        lines.append(
            f"  {'  of it outside of the chip':<31} {costs.main_memory_bytes / 1e9:10,.2f} GB, "
            f"{costs.main_memory_bytes / clips / 1e9:.2f} a clip"
        )
    if costs.library_calls:
        lines.append(f"  without the arithmetic of {costs.library_calls:,} calls of libraries")
    if costs.unknown_loops:
        lines.append(f"  {costs.unknown_loops} loops of unknown length count once")
    if not costs.collectives:
        return [*lines, "", "no communication between devices"]
    lines += ["", "communication                    count   MB of arrays      MB sent"]
    lines += [
        f"  {one.kind:<28} {one.count:7,} {one.bytes / 1e6:14,.2f} {one.sent / 1e6:12,.2f}" for one in costs.collectives
    ]
    sent = sum(one.sent for one in costs.collectives)
    return [*lines, f"  {'all':<28} {sum(one.count for one in costs.collectives):7,} {'':14} {sent / 1e6:12,.2f}"]
