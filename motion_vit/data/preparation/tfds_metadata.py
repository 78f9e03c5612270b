"""Writes the files that describe a prepared dataset to tensorflow_datasets."""

import pathlib

from motion_vit.data.preparation.output_folder import output_error
from motion_vit.data.preparation.plan import FILE_FORMAT, FILENAME_TEMPLATE
from motion_vit.data.sources.manifest import Manifest
from motion_vit.data.sources.record import record_features


def write_tfds_metadata(folder: pathlib.Path, manifest: Manifest) -> None:
    """Writes `dataset_info.json`, `features.json` and `label.labels.txt`.

    Args:
      folder: the prepared folder.
      manifest: of the dataset.

    Raises:
      OutputError: they cannot be written.
    """
    import tensorflow_datasets as tfds

    splits = [
        tfds.core.SplitInfo(
            name=name,
            shard_lengths=[shard.clips for shard in split.shards],
            num_bytes=sum(shard.bytes for shard in split.shards),
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=folder,
                dataset_name=manifest.dataset,
                split=name,
                filetype_suffix=FILE_FORMAT,
                template=FILENAME_TEMPLATE,
            ),
        )
        for name, split in manifest.splits.items()
    ]
    try:
        tfds.folder_dataset.write_metadata(
            data_dir=folder,
            features=record_features(manifest.label_names, manifest.storage),
            split_infos=splits,
            filename_template=FILENAME_TEMPLATE,
            description=f"{manifest.dataset}, prepared by motion_vit: one encoded clip a record ({manifest.codec}).",
            check_data=False,
        )
    except OSError as error:
        raise output_error(folder, error) from error
