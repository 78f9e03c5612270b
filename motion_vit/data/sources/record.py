"""Prepared clips as `tf.train.Example` records, which tensorflow_datasets reads without TensorFlow.

The functions import tensorflow_datasets when they are called, because that takes half a second. The threads of a loader
must not be the first to import it: what they call is in `record_parser`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from motion_vit.data.video.encoded_video import EncodedVideo, JpegFrames, VideoBytes

Storage = Literal["video", "jpegs"]
"""Whether the records of a dataset hold video files or bundles of JPEG files."""


@dataclasses.dataclass(frozen=True)
class ClipRecord:
    """A stored clip.

    Attributes:
      id: its name, unique in its split.
      label: its class, an index into the label names of the dataset.
      data: the bytes of a video file, or those of the JPEG files of the frames, in display order.
      first_frame: first frame of the clip in the stored video.
      frames: number of frames of the clip.
      fps: frames per second, 0.0 if unknown.
      width: width of the upright picture in pixels.
      height: height of the upright picture in pixels.
      start: the second of the published video that the clip starts at.
      end: the second of the published video that the clip ends before.
      codec: FFmpeg's name of the codec, such as "h264"; "mjpeg" for JPEG files.
    """

    id: str
    label: int
    data: bytes | tuple[bytes, ...]
    first_frame: int
    frames: int
    fps: float
    width: int
    height: int
    start: float
    end: float
    codec: str

    @property
    def video(self) -> EncodedVideo:
        """The encoded video."""
        return VideoBytes(self.id, self.data) if isinstance(self.data, bytes) else JpegFrames(self.id, self.data)


def record_features(label_names: Sequence[str], storage: Storage) -> Any:
    """Describes the records of a dataset to tensorflow_datasets.

    `tfds.features.Video` would need TensorFlow even to be read, so the video is a scalar of bytes.

    Args:
      label_names: the names of the classes, in the order of their numbers.
      storage: kind of data in the records.

    Returns:
      A `tfds.features.FeaturesDict`: `id`, `label`, `video` or `jpegs`, `first_frame`, `frames`, `fps`, `width`,
      `height`, `start`, `end`, `codec`.
    """
    from tensorflow_datasets import features

    data = features.Scalar(np.object_)
    return features.FeaturesDict(
        {
            "id": features.Text(),
            "label": features.ClassLabel(names=list(label_names)),
            storage: data if storage == "video" else features.Sequence(data),
            "first_frame": np.int64,
            "frames": np.int64,
            "fps": np.float32,
            "width": np.int64,
            "height": np.int64,
            "start": np.float32,
            "end": np.float32,
            "codec": features.Text(),
        }
    )


def record_serializer(label_names: Sequence[str], storage: Storage) -> Callable[[ClipRecord], bytes]:
    """Makes the function that serializes the records of a dataset.

    Args:
      label_names: the names of the classes.
      storage: kind of data in the records.

    Returns:
      A function from a clip to the bytes of its record, the same for the same clip in every process.
    """
    from tensorflow_datasets.core.example_serializer import ExampleSerializer

    features = record_features(label_names, storage)
    serializer = ExampleSerializer(features.get_serialized_info())

    def serialize(clip: ClipRecord) -> bytes:
        values = {field.name: getattr(clip, field.name) for field in dataclasses.fields(clip)}
        values[storage] = values.pop("data")
        example = serializer.get_tf_example(features.encode_example(values))
        # The order of a protocol buffer's map differs from process to process unless it is asked to be sorted.
        return bytes(example.SerializeToString(deterministic=True))

    return serialize
