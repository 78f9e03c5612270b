"""Turns a downloaded dataset into a prepared one.

A prepared dataset is a folder with

* `NAME-SPLIT.array_record-00000-of-00042`: the shards, one record a clip (`record.py`);
* `manifest.json`: content of the shards, clips that were left out and the reasons, fingerprints (`manifest.py`);
* `dataset_info.json`, `features.json`, `label.labels.txt`: metadata for `tfds.builder_from_directory`;
* `.shards/`: progress of an interrupted preparation.
"""

import contextlib
import hashlib
import logging
import os
import pathlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from motion_vit.data.datasets.source_dataset import SourceDataset
from motion_vit.data.preparation.clip_encoding import Codec
from motion_vit.data.preparation.output_folder import check_settings, locked_output, withdraw, write_text
from motion_vit.data.preparation.plan import (
    Stamps,
    check_source,
    choose_storage,
    clips_a_shard,
    plan_shards,
    source_digest,
    stamp_files,
)
from motion_vit.data.preparation.report import PreparationReport, bad_clips_message, byte_size
from motion_vit.data.preparation.shard import Shard, ShardTask, find_shard
from motion_vit.data.preparation.tfds_metadata import write_tfds_metadata
from motion_vit.data.preparation.workers import choose_workers, write_shards
from motion_vit.data.sources.manifest import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    Manifest,
    ShardEntry,
    SplitManifest,
    read_manifest,
)
from motion_vit.data.sources.record import Storage
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path

_logger = logging.getLogger(__name__)


def prepare_dataset(
    source: SourceDataset,
    out_dir: str | os.PathLike[str],
    *,
    codec: Codec = "copy",
    workers: int | None = None,
    progress: bool = True,
    skip_bad: bool = False,
    verify: bool = False,
    clips_per_shard: int | None = None,
) -> PreparationReport:
    """Writes a dataset's clips into shards that training and tensorflow_datasets read.

    After an interruption of any kind, the same call continues: shards that are finished and whose files have not
    changed are kept. The result is the same, byte for byte, however often it was interrupted and with any number of
    workers.

    Args:
      source: from `read_dataset`.
      out_dir: the prepared folder; created if it does not exist.
      codec: "copy" stores the published bytes (of a part of a longer video, its packets), "h264-fast" encodes anew for
        fast decoding.
      workers: processes; None for as many as cores, fewer for few clips.
      progress: whether to show a progress bar with the time left on stderr.
      skip_bad: leave out clips that are missing or cannot be decoded instead of raising.
      verify: decode every frame of every clip. Otherwise the first frame is decoded and the packets are counted.
      clips_per_shard: clips of a shard; None to choose it by the number of clips.

    Returns:
      A report of the clips written and left out.

    Raises:
      UserError: the source cannot be prepared, or none of its files exists. The folder holds something else, or another
        preparation is writing into it. Clips are bad and `skip_bad` is off: the shards are kept, the dataset is not
        declared complete. A split has no good clip, or a worker process died.
      OutputError: the folder cannot be written: the disk is full, or writing is not allowed. Finished shards are kept.
    """
    began = time.monotonic()
    check_source(source, codec)
    if clips_per_shard is not None and clips_per_shard < 1:
        raise UserError(f"a shard must have at least 1 clip; given clips_per_shard={clips_per_shard}")
    folder = local_path(out_dir).resolve()
    stamps = stamp_files(source)
    storage = choose_storage(source, codec, stamps)
    with locked_output(folder):
        check_settings(folder, _settings(source, codec, storage, clips_per_shard))
        tasks = plan_shards(
            source, folder, stamps, codec=codec, storage=storage, verify=verify, clips_per_shard=clips_per_shard
        )
        shards = {task.name: shard for task in tasks if (shard := find_shard(task, retry_bad=not skip_bad)) is not None}
        reused = sum(len(task.clips) for task in tasks if task.name in shards)
        missing = [task for task in tasks if task.name not in shards]
        if missing:
            withdraw(folder)
            _warn_of_little_space(folder, missing, stamps, codec)
            shards.update(_write_missing(missing, reused, shards, workers, progress))
        manifest = _manifest(source, tasks, shards, codec, storage, skip_bad)
        doubts = manifest.mismatches[len(source.mismatches) :]
        report = PreparationReport(folder, manifest, doubts, reused, time.monotonic() - began)
        _finish(report)
    return report


def _settings(source: SourceDataset, codec: Codec, storage: Storage, clips_per_shard: int | None) -> dict[str, object]:
    """Returns the settings that must not change between the runs that fill a folder, by name in messages."""
    return {
        "dataset": source.name,
        "codec": codec,
        "version of the format": FORMAT_VERSION,
        "kind of clips (video files or JPEG frames)": storage,
        "list of labels": list(source.label_names),
        "list of clips": {split: source_digest(clips) for split, clips in source.splits.items()},
        "number of clips a shard": {
            split: clips_per_shard or clips_a_shard(len(clips)) for split, clips in source.splits.items()
        },
    }


def _warn_of_little_space(folder: pathlib.Path, missing: Sequence[ShardTask], stamps: Stamps, codec: Codec) -> None:
    """Warns at the start if the disk will be full; only known when whole files are copied."""
    if codec != "copy":
        return
    whole = {clip.path for task in missing for clip in task.clips if clip.end is None and not clip.start}
    needed = sum(stamp.bytes for path in whole if (stamp := stamps[path]) is not None)
    free = shutil.disk_usage(folder).free
    if needed > free:
        _logger.warning(
            "%s has %s free and the clips that are still to be copied have %s: the disk will be full before the end. "
            "What is finished until then is kept.",
            folder,
            byte_size(free),
            byte_size(needed),
        )


def _write_missing(
    missing: Sequence[ShardTask], reused: int, finished: Mapping[str, Shard], workers: int | None, progress: bool
) -> dict[str, Shard]:
    """Writes shards with a progress bar that also counts the clips of earlier runs."""
    earlier_bad = sum(len(shard.bad) for shard in finished.values())
    total = reused + sum(len(task.clips) for task in missing)
    with progress_bar(total, "preparing", "clip", initial=reused, shown=progress) as bar:

        def show(good: int, bad: int) -> None:
            bar.set_postfix(bad=earlier_bad + bad, reused=reused, refresh=False)
            bar.update(reused + good + bad - bar.n)

        show(0, 0)
        count = choose_workers(missing) if workers is None else workers
        with contextlib.closing(write_shards(missing, count, show)) as written:
            return {task.name: shard for task, shard in written}


def _manifest(
    source: SourceDataset,
    tasks: Sequence[ShardTask],
    shards: Mapping[str, Shard],
    codec: Codec,
    storage: Storage,
    skip_bad: bool,
) -> Manifest:
    splits = {}
    for split in source.splits:
        named = [(task.name, shards[task.name]) for task in tasks if task.split == split]
        splits[split] = _split_manifest(source.label_names, named)
    return Manifest(
        dataset=source.name,
        codec=codec,
        storage=storage,
        complete=all(split.clips and (skip_bad or not split.bad) for split in splits.values()),
        label_names=source.label_names,
        mismatches=(*source.mismatches, *_frame_doubts(tasks, shards)),
        splits=splits,
    )


def _frame_doubts(tasks: Sequence[ShardTask], shards: Mapping[str, Shard]) -> Iterator[str]:
    """Describes gaps and other doubts in the numbering of frames, a sentence for each clip."""
    for task in tasks:
        for clip_id, doubts in shards[task.name].doubtful.items():
            yield f"{task.split}: clip {clip_id}: {'; '.join(doubts)}"


def _split_manifest(label_names: Sequence[str], shards: Sequence[tuple[str, Shard]]) -> SplitManifest:
    digest = hashlib.sha256("\n".join(label_names).encode())
    counts: Counter[str] = Counter()
    rates: Counter[str] = Counter()
    for _, shard in shards:
        digest.update("".join(shard.records).encode())
        counts.update(shard.clips_of_class)
        rates.update(shard.rates)
    return SplitManifest(
        clips=sum(len(shard.records) for _, shard in shards),
        verified=all(shard.verified for _, shard in shards),
        frames=sum(shard.frames for _, shard in shards),
        seconds=round(sum(shard.seconds for _, shard in shards), 3),
        fingerprint=digest.hexdigest(),
        clips_of_class={name: counts[name] for name in label_names},
        shards=tuple(ShardEntry(name, len(shard.records), shard.bytes) for name, shard in shards),
        bad=tuple(clip for _, shard in shards for clip in shard.bad),
        rates=dict(sorted(rates.items())),
    )


def _finish(report: PreparationReport) -> None:
    """Declares the dataset complete, or reports the bad clips."""
    folder, manifest = report.folder, report.manifest
    if manifest.complete:
        write_tfds_metadata(folder, manifest)
        write_text(folder / MANIFEST_FILE, manifest.to_json())
        return
    # A manifest that is there is that of these very shards, whose bad clips somebody agreed to leave out.
    if not (folder / MANIFEST_FILE).exists() or not read_manifest(folder).complete:
        withdraw(folder)
        write_text(folder / MANIFEST_FILE, manifest.to_json())
    message = bad_clips_message(report)
    empty = [name for name, split in manifest.splits.items() if not split.clips]
    if empty:
        message = f"the split {empty[0]} would have no clips. {message}"
    raise UserError(message)
