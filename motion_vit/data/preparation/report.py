"""Human-readable preparation report."""

import dataclasses
import pathlib
from collections.abc import Iterator

from motion_vit.counts import counted
from motion_vit.data.sources.class_imbalance import describe_imbalance
from motion_vit.data.sources.manifest import MANIFEST_FILE, BadClip, Manifest
from motion_vit.outside_text import for_terminal, visible

_SHOWN_BAD = 10
_SHOWN_CLASSES = 5


@dataclasses.dataclass(frozen=True)
class PreparationReport:
    """The result of `prepare_dataset`.

    Attributes:
      folder: the prepared folder.
      manifest: content split by split: clips, clips of each class, bad clips, fingerprints.
      doubts: gaps and other doubts in the numbering of frames, a sentence for each clip; a part of the manifest's.
      reused: clips, good or bad, of shards that an earlier run had finished.
      elapsed: seconds that this run took.
    """

    folder: pathlib.Path
    manifest: Manifest
    doubts: tuple[str, ...]
    reused: int
    elapsed: float

    @property
    def clips(self) -> int:
        """The number of clips of all splits."""
        return sum(split.clips for split in self.manifest.splits.values())

    @property
    def bytes(self) -> int:
        """The size of all shards."""
        return sum(shard.bytes for split in self.manifest.splits.values() for shard in split.shards)

    @property
    def bad(self) -> tuple[BadClip, ...]:
        """The clips that were left out, of all splits."""
        return tuple(clip for split in self.manifest.splits.values() for clip in split.bad)

    def summary(self) -> str:
        """Formats the report as a few lines of text."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for name, split in self.manifest.splits.items():
            yield (
                f"{name}: {counted(split.clips, 'clip', ',')}, {counted(split.frames, 'frame', ',')}, "
                f"{_duration(split.seconds)}; "
                f"{'every frame decoded' if split.verified else 'first frames decoded'}; "
                f"left out: {len(split.bad):,}; shards: {len(split.shards)}; fingerprint {split.fingerprint[:16]}"
            )
            empty = [label for label, count in split.clips_of_class.items() if not count]
            if empty:
                more = ", ..." if len(empty) > _SHOWN_CLASSES else ""
                shown = ", ".join(map(for_terminal, empty[:_SHOWN_CLASSES]))
                yield f"  classes without a clip: {len(empty)}: {shown}{more}"
            if name == "train" and (
                unequal := describe_imbalance(tuple(split.clips_of_class), tuple(split.clips_of_class.values()))
            ):
                yield f"  warning: {unequal}"
        yield from (f"  note: {visible(doubt)}" for doubt in self.doubts[:_SHOWN_BAD])
        if len(self.doubts) > _SHOWN_BAD:
            yield f"  and {len(self.doubts) - _SHOWN_BAD} more such notes, in {self.folder / MANIFEST_FILE}"
        yield from (f"  left out: {for_terminal(clip.path)}: {visible(clip.reason)}" for clip in self.bad[:_SHOWN_BAD])
        if len(self.bad) > _SHOWN_BAD:
            yield f"  and {len(self.bad) - _SHOWN_BAD} more, named in {self.folder / MANIFEST_FILE}"
        yield (
            f"{self.folder}: {counted(self.clips, 'clip', ',')} of {counted(len(self.manifest.label_names), 'class')}, "
            f"{byte_size(self.bytes)}, codec {self.manifest.codec}; {self.elapsed:.1f} s, of an earlier run: "
            f"{counted(self.reused, 'clip', ',')}"
        )


def _duration(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def byte_size(size: int) -> str:
    """Formats a number of bytes, such as "1.2 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def bad_clips_message(report: PreparationReport) -> str:
    """Formats the error message for bad clips.

    Args:
      report: of the preparation that found them.

    Returns:
      Their number, the first of them, and what to do.
    """
    bad = report.bad
    lines = [f"{len(bad)} of {counted(report.clips + len(bad), 'clip')} cannot be used:"]
    lines += [f"  {for_terminal(clip.path)}: {clip.reason}" for clip in bad[:_SHOWN_BAD]]
    if len(bad) > _SHOWN_BAD:
        lines.append(f"  and {len(bad) - _SHOWN_BAD} more")
    lines.append(
        f"All of them are named in {report.folder / MANIFEST_FILE}. Repair them and run the same command again, or "
        "leave them out with --skip-bad. Shards without a change are kept."
    )
    return "\n".join(lines)
