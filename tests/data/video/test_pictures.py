"""Pictures and animations given as videos: decoded, or named as what they are, whatever their file names say."""

import io

import numpy as np
import pytest
from PIL import Image, features

from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.encoded_video import VideoBytes
from motion_vit.data.video.probing import check_video

PICTURES = [Image.fromarray(np.full((32, 48, 3), 40 * number, np.uint8)) for number in range(5)]


def saved(kind, *, animated):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    buffer = io.BytesIO()
    rest = {"save_all": True, "append_images": PICTURES[1:], "duration": 100} if animated else {}
    PICTURES[0].save(buffer, kind, **rest)
    return buffer.getvalue()


@pytest.fixture(params=["path", "bytes"])
def as_video(request, tmp_path):
    """Gives a file's bytes as a path that ends like a video's, or in memory."""

    def give(data):
        if request.param == "bytes":
            return VideoBytes("clip.mp4", data)
        (tmp_path / "clip.mp4").write_bytes(data)
        return tmp_path / "clip.mp4"

    return give


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF", "BMP"])
def test_a_picture_is_a_video_of_one_frame(as_video, kind):
    assert check_video(as_video(saved(kind, animated=False))).frames == 1


@pytest.mark.parametrize("kind", ["PNG", "GIF", "AVIF"])
def test_an_animation_is_decoded_whole(as_video, kind):
    video = as_video(saved(kind, animated=True))
    assert check_video(video).frames == 5
    brightness = decode_frames(video, range(5)).mean((1, 2, 3))
    np.testing.assert_allclose(brightness, [0, 40, 80, 120, 160], atol=6)


def test_an_animated_webp_is_decoded_or_named_with_a_way_out_that_works(as_video):
    data = saved("WEBP", animated=True)
    said = ""
    try:
        check_video(as_video(data))  # newer versions of FFmpeg decode it
    except VideoDecodeError as error:
        said = error.reason
    assert not said or "a WebP animation, which FFmpeg cannot decode here; convert it to an animated PNG" in said
    converted = io.BytesIO()
    Image.open(io.BytesIO(data)).save(converted, "PNG", save_all=True)
    assert check_video(VideoBytes("converted", converted.getvalue())).frames == 5


@pytest.mark.parametrize(("kind", "name"), [("PNG", "PNG"), ("WEBP", "WebP"), ("GIF", "GIF"), ("TIFF", "TIFF")])
def test_a_damaged_picture_is_named_as_one(as_video, kind, name):
    data = bytearray(saved(kind, animated=False))
    data[13:] = bytes(len(data) - 13)
    with pytest.raises(VideoDecodeError, match=f"it is a {name} picture|has no frames|more than"):
        check_video(as_video(bytes(data)))


@pytest.mark.parametrize(
    ("kind", "name"), [("PPM", "a picture"), ("JPEG2000", "a JPEG 2000 picture"), ("PDF", "a PDF")]
)
def test_what_holds_pictures_and_is_no_video_is_named(as_video, kind, name):
    with pytest.raises(VideoDecodeError, match=f"it is {name}"):
        check_video(as_video(saved(kind, animated=False)))
