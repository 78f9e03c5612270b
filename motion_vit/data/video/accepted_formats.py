"""The container formats that are accepted, and words for what is refused.

FFmpeg also reads texts that lead elsewhere: playlists, lists of files, descriptions of network sessions. A file must
never make it open another file or a connection, so only containers that hold the video themselves are accepted.
"""

import re

ACCEPTED_FORMATS = (
    # MOV files can refer to others, which FFmpeg follows only on request.
    *("mov", "matroska", "avi", "asf", "asf_o", "flv", "live_flv", "kux", "mpegts", "mpeg", "ogg", "rm", "nut", "mxf"),
    *(
        "gxf",
        "wtv",
        "nsv",
        "swf",
        "dv",
        "ivf",
        "obu",
        "yuv4mpegpipe",
        "amv",
        "mjpeg",
        "mpjpeg",
        "smjpeg",
        "gif",
        "apng",
    ),
    *(
        "m4v",
        "mpegvideo",
        "h261",
        "h263",
        "h264",
        "hevc",
        "vvc",
        "vc1",
        "vc1test",
        "cavsvideo",
        "avs2",
        "avs3",
        "dirac",
    ),
    *("dnxhd", "av1", "flic", "webp", "png_pipe", "jpeg_pipe", "webp_pipe", "bmp_pipe", "tiff_pipe", "gif_pipe"),
)
"""FFmpeg's names of the accepted demuxers, each also with the aliases of the same demuxer."""

HEAD_BYTES = 2048
"""Bytes from the start of a file that `describe_content` tells its kind by."""

_UNREADABLE = "that is damaged, or that FFmpeg cannot decode here"
# FFmpeg reads animated PNG; Pillow, which is installed with the library, reads what FFmpeg does not.
_AS_APNG = (
    "convert it to an animated PNG: "
    "python -c \"from PIL import Image; Image.open('FILE').save('FILE.png', save_all=True)\""
)
_ANIMATED_WEBP = re.compile(rb"RIFF.{4}WEBPVP8X.{4}(.)", re.DOTALL)
_ANIMATION_FLAG = 0x02
# What the start of a file matches -> what the file is, and what to do.
_KINDS: tuple[tuple[bytes, str], ...] = (
    (rb"v=0\r?\n", "a description of a network session (SDP), which is not followed; give the video itself"),
    (rb"#EXTM3U", "a playlist (M3U), which is not followed; give the video itself"),
    (rb"\[playlist\]", "a playlist (PLS), which is not followed; give the video itself"),
    (rb"ffconcat version", "a list of files to join (ffconcat), which is not followed; join them with FFmpeg first"),
    (
        rb"(<\?xml.*?>\s*)?(<!--.*?-->\s*)*<MPD\b",
        "a playlist (MPEG-DASH), which is not followed; give the video itself",
    ),
    (rb"(<\?xml.*?>\s*)?<SmoothStreamingMedia\b", "a playlist (Smooth Streaming), which is not followed"),
    (rb"(<\?xml.*?>\s*)?<(asx|smil)\b", "a playlist, which is not followed; give the video itself"),
    (rb"RIFF.{4}WEBP", f"a WebP picture {_UNREADABLE}"),
    (rb"\x89PNG\r\n\x1a\n", f"a PNG picture or animation {_UNREADABLE}"),
    (rb"GIF8[79]a", f"a GIF picture or animation {_UNREADABLE}"),
    (rb"\xff\xd8\xff", f"a JPEG picture, or a sequence of them, {_UNREADABLE}"),
    (rb"II\x2a\x00|MM\x00\x2a", f"a TIFF picture {_UNREADABLE}"),
    (rb".{4}ftyp(avi[fs])", f"an AVIF picture or animation {_UNREADABLE}"),
    (rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", f"a HEIF picture {_UNREADABLE}"),
    (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 picture, not a video"),
    (rb"\x00\x00\x00\x0cJXL ", "a JPEG XL picture, not a video"),
    (rb"P[1-7]\s", "a picture (PNM), not a video"),
    (rb"8BPS", "a picture (PSD), not a video"),
    (rb"version https://git-lfs", "a pointer of Git LFS; run `git lfs pull` to download the video"),
    (rb"(<\?xml.*?>\s*)?<svg\b", "an SVG drawing"),
    (rb"<(!doctype html|html)\b", "a web page: the download failed, or needs a login"),
    (rb"PK\x03\x04", "a zip archive; unpack it first"),
    (rb"\x1f\x8b", "a gzip archive; unpack it first"),
    (rb"7z\xbc\xaf|Rar!", "an archive; unpack it first"),
    (rb"%PDF", "a PDF"),
    (rb"ID3|fLaC|RIFF.{4}WAVE|OggS.{24}\x01vorbis|OggS.{24}OpusHead", "a sound file: it has no video stream"),
)


def describe_content(head: bytes) -> str | None:
    """Describes a file that is no accepted video.

    Args:
      head: its first `HEAD_BYTES` bytes.

    Returns:
      What it is and what to do, to continue "it is ..."; None where its start says nothing.
    """
    if not head:
        return "empty"
    webp = _ANIMATED_WEBP.match(head)
    if webp and webp[1][0] & _ANIMATION_FLAG:
        return f"a WebP animation, which FFmpeg cannot decode here; {_AS_APNG}"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, kind in _KINDS:
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE):
            return kind
    # The codes of texts, of which videos hold others within a few bytes.
    if not re.search(rb"[\x00-\x08\x0e-\x1f]", head):
        return "a text, not a video"
    return None
