"""Encodes a clip for storage: copies the published bytes, cuts a part out of them, or encodes anew."""

import os
from typing import Literal

from motion_vit.data.datasets.source_dataset import SourceClip, StoredRow
from motion_vit.data.preparation.h264_fast import encode_h264_fast
from motion_vit.data.preparation.stream_copy import cut_video
from motion_vit.data.sources.clip_source import clip_frames
from motion_vit.data.sources.list_file import MOST_SECONDS
from motion_vit.data.sources.record import ClipRecord, Storage
from motion_vit.data.video.decode_error import VideoDecodeError, unexpected_as_decode_error
from motion_vit.data.video.encoded_video import EncodedVideo, JpegFrames, VideoBytes
from motion_vit.data.video.jpeg_frames import JpegSequence, find_jpegs, picture_size
from motion_vit.data.video.probing import VideoInfo, check_video, frame_window, probe_video
from motion_vit.files.broken_link import broken_link
from motion_vit.files.regular_file import open_regular_file

Codec = Literal["copy", "h264-fast"]
"""How clips are encoded: "copy" keeps the published bytes."""

CODECS: tuple[Codec, ...] = ("copy", "h264-fast")

JPEG_FPS = 12.0
"""Frames a second of Something-Something V1 and Jester. JPEG files do not say it: all folders are taken for such."""

# A record has to fit into memory several times over, and protocol buffers end at 2 GiB.
_LARGEST_RECORD = 2**30


def encode_clip(clip: SourceClip, label: int, codec: Codec, storage: Storage, *, verify: bool) -> ClipRecord:
    """Reads, checks and encodes a clip.

    Args:
      clip: of a downloaded dataset.
      label: the number of its class.
      codec: "copy" or "h264-fast".
      storage: kind of data in the dataset's records.
      verify: decode every frame of the clip, and not only the first.

    Returns:
      The encoded clip.

    Raises:
      VideoDecodeError: it is missing, cannot be decoded, or cannot be stored in this form.
    """
    with unexpected_as_decode_error(clip.path):
        return _encode(clip, label, codec, storage, verify)


def _encode(clip: SourceClip, label: int, codec: Codec, storage: Storage, verify: bool) -> ClipRecord:
    start, end = clip.start or 0.0, clip.end
    if not 0 <= start <= MOST_SECONDS or (end is not None and not start < end):
        raise VideoDecodeError(
            clip.path, f"it is listed from {start} s to {end} s; expected 0 <= start < end, at most {MOST_SECONDS} s"
        )
    if clip.record is not None:
        return _encode_stored(clip, clip.record, label, codec, verify)
    if nowhere := broken_link(clip.path):
        raise VideoDecodeError(clip.path, f"it is {nowhere}")
    if codec == "h264-fast":
        return _encode_anew(clip, label, verify)
    if os.path.isdir(clip.path) != (storage == "jpegs"):
        kinds = {"jpegs": ("video file", "folders of JPEG frames"), "video": ("folder of JPEG frames", "video files")}
        this, others = kinds[storage]
        if os.path.exists(clip.path):
            reason = f"it is a {this} in a dataset of {others}; prepare these apart, or all of them as h264-fast"
            raise VideoDecodeError(clip.path, reason)
    return _copy_jpegs(clip, label, verify) if storage == "jpegs" else _copy_video(clip, label, verify)


def _describe(video: EncodedVideo, verify: bool) -> VideoInfo:
    return check_video(video) if verify else probe_video(video)


def _is_whole(clip: SourceClip) -> bool:
    return not clip.start and clip.end is None


def _encode_stored(clip: SourceClip, record: StoredRow, label: int, codec: Codec, verify: bool) -> ClipRecord:
    stored = record.read()
    video = stored.video
    info = _describe(video, verify)
    first, frames = clip_frames(stored)
    fps = info.fps or (JPEG_FPS if isinstance(video, JpegFrames) else 0.0)
    end = info.duration or (frames / fps if fps else 0.0)
    if codec == "h264-fast":
        data = encode_h264_fast(video, first, frames, fps)
        return _record(clip, label, data, 0, frames, fps, probe_video(VideoBytes(clip.id, data)), end)
    if isinstance(video, JpegFrames):
        jpegs = JpegSequence(video.name, video.frames)
        for frame, file in enumerate(video.frames):
            picture_size(jpegs, frame, file)
        return _record(clip, label, video.frames, first, frames, fps, info, end)
    if not isinstance(video, VideoBytes):
        raise VideoDecodeError(video, "it is a file, and the records of a source hold the bytes themselves")
    return _record(clip, label, video.data, first, frames, fps, info, end)


def _copy_jpegs(clip: SourceClip, label: int, verify: bool) -> ClipRecord:
    _, frames = frame_window(clip.path, clip.start or 0.0, clip.end)
    jpegs = find_jpegs(clip.path)
    if jpegs is None:
        raise VideoDecodeError(clip.path, "the folder does not exist")
    data = tuple(jpegs.read(frame) for frame in range(frames))
    for frame, file in enumerate(data):
        picture_size(jpegs, frame, file)  # which is quick, unlike decoding
    info = _describe(JpegFrames(clip.path, data), verify)
    return _record(clip, label, data, 0, frames, JPEG_FPS, info, frames / JPEG_FPS)


def _copy_video(clip: SourceClip, label: int, verify: bool) -> ClipRecord:
    if not _is_whole(clip):
        cut = cut_video(clip.path, clip.start or 0.0, clip.end)
        info = _describe(cut.video, verify)
        return _record(clip, label, cut.video.data, cut.first_frame, cut.frames, cut.fps, info, cut.end)
    try:
        with open_regular_file(clip.path) as file:
            if os.fstat(file.fileno()).st_size > _LARGEST_RECORD:
                raise VideoDecodeError(
                    clip.path, "it is larger than 1 GiB; list parts of it, or prepare it as h264-fast"
                )
            data = file.read()
    except FileNotFoundError:
        raise VideoDecodeError(clip.path, "the file does not exist") from None
    except OSError as error:
        raise VideoDecodeError(
            clip.path, f"the file cannot be read ({error.strerror or type(error).__name__})"
        ) from error
    info = _describe(VideoBytes(clip.path, data), verify)
    return _record(clip, label, data, 0, info.frames, info.fps, info, info.duration)


def _encode_anew(clip: SourceClip, label: int, verify: bool) -> ClipRecord:
    video: EncodedVideo = clip.path
    if os.path.isdir(clip.path):
        first, frames = frame_window(clip.path, clip.start or 0.0, clip.end)
        fps, end = JPEG_FPS, frames / JPEG_FPS
        _describe(video, verify)
    elif _is_whole(clip):
        info = _describe(video, verify)
        first, frames, fps, end = 0, info.frames, info.fps, info.duration
    else:
        cut = cut_video(clip.path, clip.start or 0.0, clip.end)
        video, first, frames, fps, end = cut.video, cut.first_frame, cut.frames, cut.fps, cut.end
        _describe(video, verify)
    data = encode_h264_fast(video, first, frames, fps)
    stored = probe_video(VideoBytes(clip.path, data))
    return _record(clip, label, data, 0, frames, fps, stored, end)


def _record(
    clip: SourceClip,
    label: int,
    data: bytes | tuple[bytes, ...],
    first_frame: int,
    frames: int,
    fps: float,
    info: VideoInfo,
    end: float,
) -> ClipRecord:
    return ClipRecord(
        id=clip.id,
        label=label,
        data=data,
        first_frame=first_frame,
        frames=frames,
        fps=fps,
        width=info.width,
        height=info.height,
        start=clip.start or 0.0,
        end=end,
        codec=info.codec,
    )
