"""A shard of a prepared dataset: consecutive clips of the source in one ArrayRecord file.

A shard depends on its clips and on the codec alone, not on when or in which process it is written. Beside it lies a
note of its inputs and content, from which an interrupted preparation knows that the shard is finished.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from motion_vit.data.datasets.source_dataset import SourceClip
from motion_vit.data.preparation.clip_encoding import Codec, encode_clip
from motion_vit.data.preparation.output_folder import PROGRESS_FOLDER, output_error, write_text, written_file
from motion_vit.data.sources.manifest import BadClip
from motion_vit.data.sources.record import ClipRecord, Storage, record_serializer
from motion_vit.data.video.decode_error import VideoDecodeError, unexpected_as_decode_error
from motion_vit.data.video.jpeg_frames import frame_doubts
from motion_vit.files.field_types import check_field_types
from motion_vit.files.json_file import read_json

# One record a group and no compression: grouped records are read many times slower at random, and to compress what is
# compressed already halves the speed of reading for nothing.
_WRITER_OPTIONS = "group_size:1,uncompressed"


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """A shard to be written.

    Attributes:
      folder: the prepared folder.
      name: the file name of the shard.
      split: the split that it belongs to.
      clips: in the order of the source.
      label_names: the names of the classes.
      codec: "copy" or "h264-fast".
      storage: kind of data in the records.
      verify: whether every frame is decoded.
      inputs: SHA-256 of everything that the content depends on.
    """

    folder: pathlib.Path
    name: str
    split: str
    clips: tuple[SourceClip, ...]
    label_names: tuple[str, ...]
    codec: Codec
    storage: Storage
    verify: bool
    inputs: str

    @property
    def path(self) -> pathlib.Path:
        """The file of the shard."""
        return self.folder / self.name

    @property
    def note(self) -> pathlib.Path:
        """The file of the shard's note."""
        return self.folder / PROGRESS_FOLDER / f"{self.name}.json"


@dataclasses.dataclass(frozen=True)
class Shard:
    """A written shard, as its note describes it.

    Attributes:
      inputs: SHA-256 of its inputs.
      verified: whether every frame was decoded.
      bytes: the size of the file.
      frames: sum over its clips.
      seconds: duration of its clips; clips without a known rate count as 0.
      clips_of_class: label -> clips, for the labels that it has.
      records: SHA-256 of each record.
      bad: the clips that were left out.
      doubtful: name of a clip -> what the names of its frames say is missing or doubtful, as clauses.
      rates: frames per second -> clips, as in the manifest.
    """

    inputs: str
    verified: bool
    bytes: int
    frames: int
    seconds: float
    clips_of_class: Mapping[str, int]
    records: tuple[str, ...]
    bad: tuple[BadClip, ...]
    doubtful: Mapping[str, Sequence[str]]
    rates: Mapping[str, int]


def find_shard(task: ShardTask, *, retry_bad: bool) -> Shard | None:
    """Looks up a finished shard of an earlier run.

    Args:
      task: the shard that is to be written.
      retry_bad: write shards again that lack clips whose files exist. The files may not have been at fault: a disk or
        network can fail, or reading be forbidden for a while.

    Returns:
      The shard, or None where it must be written: it is missing, or was made from other inputs.
    """
    try:
        values = read_json(task.note)
        bad = tuple(BadClip(**clip) for clip in values["bad"])
        shard = Shard(**{**values, "bad": bad, "records": tuple(values["records"])})
        check_field_types(shard)
        size = task.path.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return None  # whatever is wrong with a note, its shard can be made again
    fits = shard.inputs == task.inputs and shard.bytes == size and (shard.verified or not task.verify)
    if not fits or (retry_bad and any(os.path.exists(clip.path) for clip in shard.bad)):
        return None
    return shard


def write_shard(task: ShardTask, on_clip: Callable[[bool], None]) -> Shard:
    """Encodes the clips of a shard, and writes the shard and its note.

    Args:
      task: files that exist are replaced.
      on_clip: called after every clip, with True for a good one. An exception from it stops the writing and leaves
        nothing.

    Returns:
      The written shard.

    Raises:
      OutputError: the folder cannot be written.
    """
    content = _Content()
    serialize = record_serializer(task.label_names, task.storage)
    numbers = {name: number for number, name in enumerate(task.label_names)}
    with written_file(task.path) as unfinished, _shard_writer(task.path, unfinished) as write:
        for clip in task.clips:
            try:
                record = encode_clip(clip, numbers[clip.label], task.codec, task.storage, verify=task.verify)
                with unexpected_as_decode_error(clip.path):
                    doubts, data = frame_doubts(clip.path), serialize(record)
            except VideoDecodeError as error:
                content.bad.append(BadClip(clip.id, clip.path, error.reason))
                on_clip(False)
                continue
            write(data)
            content.add(record, clip.label, data, doubts)
            on_clip(True)
    shard = content.shard(task)
    write_text(task.note, json.dumps(dataclasses.asdict(shard), ensure_ascii=False) + "\n")
    return shard


@contextlib.contextmanager
def _shard_writer(path: pathlib.Path, unfinished: pathlib.Path) -> Iterator[Callable[[bytes], None]]:
    """Opens an ArrayRecord file; a full disk shows at some later record, or when the file is closed."""
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(unfinished), _WRITER_OPTIONS)

    def write(record: bytes) -> None:
        try:
            writer.write(record)
        except RuntimeError as error:
            raise output_error(path, _said(error)) from error

    try:
        yield write
    except BaseException:
        with contextlib.suppress(RuntimeError):
            writer.close()
        raise
    try:
        writer.close()
    except RuntimeError as error:
        raise output_error(path, _said(error)) from error


def _said(error: RuntimeError) -> str:
    """Extracts the system's message, as from "write() failed: No space left on device; writing FILE; ..."."""
    return str(error).split(";", 1)[0].rpartition("failed: ")[2]


class _Content:
    """The content of a shard, without the videos."""

    def __init__(self) -> None:
        self.bad: list[BadClip] = []
        self._records: list[str] = []
        self._labels: Counter[str] = Counter()
        self._frames = 0
        self._seconds = 0.0
        self._doubtful: dict[str, tuple[str, ...]] = {}
        self._rates: Counter[str] = Counter()

    def add(self, record: ClipRecord, label: str, data: bytes, doubts: tuple[str, ...]) -> None:
        self._records.append(hashlib.sha256(data).hexdigest())
        self._labels[label] += 1
        self._frames += record.frames
        self._seconds += record.frames / record.fps if record.fps else 0.0
        if record.fps and isinstance(record.data, bytes):  # JPEG files have an assumed rate
            self._rates[f"{record.fps:.2f}"] += 1
        if doubts:
            self._doubtful[record.id] = doubts

    def shard(self, task: ShardTask) -> Shard:
        return Shard(
            inputs=task.inputs,
            verified=task.verify,
            bytes=task.path.stat().st_size,
            frames=self._frames,
            seconds=self._seconds,
            clips_of_class=dict(sorted(self._labels.items())),
            records=tuple(self._records),
            bad=tuple(self.bad),
            doubtful=self._doubtful,
            rates=dict(sorted(self._rates.items())),
        )
