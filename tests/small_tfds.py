"""Small sets in the format of tensorflow_datasets, written without TensorFlow."""

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.proto import tf_example_pb2

_FEATURES = "tensorflow_datasets.core.features"

VIDEO = {"pythonClassName": f"{_FEATURES}.video_feature.Video", "video": {"encodingFormat": "png", "dtype": "uint8"}}
IMAGE = {"pythonClassName": f"{_FEATURES}.image_feature.Image", "image": {"dtype": "uint8"}}
BYTES = {"pythonClassName": f"{_FEATURES}.tensor_feature.Tensor", "tensor": {"dtype": "string", "shape": {}}}
TEXT = {"pythonClassName": f"{_FEATURES}.text_feature.Text", "text": {}}

Value = int | bytes | Sequence[bytes]


def class_label(classes: int) -> dict[str, Any]:
    """The description of a ClassLabel."""
    name = f"{_FEATURES}.class_label_feature.ClassLabel"
    return {"pythonClassName": name, "classLabel": {"numClasses": str(classes)}}


def sequence(feature: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a Sequence."""
    name = f"{_FEATURES}.sequence_feature.Sequence"
    return {"pythonClassName": name, "sequence": {"feature": feature, "length": "-1"}}


def features_dict(features: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a FeaturesDict."""
    name = f"{_FEATURES}.features_dict.FeaturesDict"
    return {"pythonClassName": name, "featuresDict": {"features": features}}


def pictures(frames: np.ndarray, ending: str = ".png") -> list[bytes]:
    """Encodes each frame of an RGB clip as a picture file."""
    return [cv2.imencode(ending, frame[..., ::-1])[1].tobytes() for frame in frames]


def write_tfds(
    folder: pathlib.Path,
    splits: Mapping[str, Iterable[Mapping[str, Value]]],
    *,
    label_names: Sequence[str],
    features: Mapping[str, Any] | None = None,
    clips_a_shard: int = 2,
    file_format: str = "array_record",
) -> pathlib.Path:
    """Writes a set with the features `video` and `label`, or others; `label_names` are those of `label`."""
    folder.mkdir(parents=True)
    described = features or {"video": VIDEO, "label": class_label(len(label_names))}
    infos = []
    for split, clips in splits.items():
        records = [_example(clip) for clip in clips]
        shards = [records[start : start + clips_a_shard] for start in range(0, len(records), clips_a_shard)]
        for number, shard in enumerate(shards):
            name = f"{folder.parent.name}-{split}.{file_format}-{number:05d}-of-{len(shards):05d}"
            writer = ArrayRecordWriter(str(folder / name), "group_size:1")
            for record in shard:
                writer.write(record)
            writer.close()
        template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        lengths = [str(len(shard)) for shard in shards]
        size = str(sum(map(len, records)))
        infos.append({"name": split, "shardLengths": lengths, "numBytes": size, "filepathTemplate": template})
    info = {"fileFormat": file_format, "name": folder.parent.name, "splits": infos, "version": folder.name}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (folder / "features.json").write_text(json.dumps(features_dict(described)))
    (folder / "label.labels.txt").write_text("\n".join(label_names) + "\n")
    return folder


def _example(values: Mapping[str, Value]) -> bytes:
    example = tf_example_pb2.Example()
    for name, value in values.items():
        feature = example.features.feature[name]
        if isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.bytes_list.value.extend([value] if isinstance(value, bytes) else value)
    return bytes(example.SerializeToString(deterministic=True))
