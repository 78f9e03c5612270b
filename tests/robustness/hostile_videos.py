"""Makes hostile and damaged videos, alone and in lists with a good one."""

import gzip
import io
import pathlib
import random
import zipfile

import numpy as np
from good_inputs import VIDEOS
from PIL import Image
from video_mutations import mutants

GOOD_CLIP = "good.mp4"
"""Name of the good video among bad ones."""

PLAYLISTS = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 0.0.0.0\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
    '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MAP:URI="{other}"\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n',
    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nconcat:{other}|file://{other}\n",
    "ffconcat version 1.0\nfile '{other}'\n",
    "file '{other}'\nduration 1\n",
    "concat:{other}|{other}",
    "[playlist]\nFile1={other}\nNumberOfEntries=1\n",
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>{other}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    '<SmoothStreamingMedia MajorVersion="2"><StreamIndex Type="video" Url="{other}"/></SmoothStreamingMedia>',
    '<asx version="3.0"><entry><ref href="{other}"/></entry></asx>',
    '<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{other}"/></svg>',
    "{other}\n",
    "rtsp://127.0.0.1:9/\n",
    "DVD\n{other}\n",
)
"""Texts that lead players to another file, `{other}`, or to a server."""

_NAMES = (
    *(
        "clip",
        "-i",
        "a,b",
        'a"b',
        "a b",
        "clip%03d",
        "*",
        "file:x",
        "concat:a|b",
        "data:,x",
        "pipe:0",
        "\udcff",
        "a\nb",
    ),
    *("\x1b[31m", "x" * 200, "http:x", "..", "subfile,,start,0,end,0,,:x", "$(id)", "'", "fd:0"),
)
_WRONG_ENDINGS = ("mp4", "m3u8", "txt", "png", "jpg", "sdp", "concat", "yuv", "h264", "", "nothing")


def hostile_video(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes a video that is damaged, hostile or none at all.

    Args:
      rng: fixes everything.
      folder: for the video.
      good: of `write_good_inputs`.

    Returns:
      The file, or a folder of frames.
    """
    draw = rng.random()
    if draw < 0.1:
        return _frames(rng, folder)
    if draw < 0.25:
        ending, data = rng.choice(sorted(_videos(good))), _no_video(rng, good)
    else:
        ending, data = _damaged(rng, good)
    if rng.random() < 0.2:
        ending = rng.choice(_WRONG_ENDINGS)
    name = rng.choice(_NAMES) if rng.random() < 0.2 else "clip"
    path = folder / (f"{name}.{ending}" if ending else name)
    path.write_bytes(data)
    return path


def hostile_list_of_videos(rng: random.Random, folder: pathlib.Path, good: pathlib.Path) -> pathlib.Path:
    """Writes a list of three videos, of which all but `GOOD_CLIP` are hostile.

    Args:
      rng: fixes everything.
      folder: for list and videos.
      good: of `write_good_inputs`.

    Returns:
      The list.
    """
    (folder / GOOD_CLIP).write_bytes((good / VIDEOS / "clip.mp4").read_bytes())
    rows = [f"{GOOD_CLIP},class 0"]
    for number in range(2):
        (folder / str(number)).mkdir()
        path = hostile_video(rng, folder / str(number), good)
        plain = path.rename(folder / f"v{number}{path.suffix if path.suffix.isascii() else ''}")
        rows.append(f"{plain.name},class {number}")
    rng.shuffle(rows)
    path = folder / "list.csv"
    path.write_text("\n".join(["path,label", *rows]) + "\n")
    return path


def _videos(good: pathlib.Path) -> dict[str, bytes]:
    return {path.suffix[1:]: path.read_bytes() for path in sorted((good / VIDEOS).iterdir())}


def _damaged(rng: random.Random, good: pathlib.Path) -> tuple[str, bytes]:
    originals = {f"clip.{ending}": data for ending, data in _videos(good).items()}
    seed, number = rng.randrange(2**31), rng.randrange(64)
    *_, damaged = mutants(originals, seed, number + 1)
    return pathlib.Path(damaged.name.split(",")[0]).suffix[1:], damaged.data


def _no_video(rng: random.Random, good: pathlib.Path) -> bytes:
    """Texts that lead elsewhere, archives, and files that are two things at once."""
    videos = _videos(good)
    video = videos[rng.choice(sorted(videos))]
    playlist = rng.choice(PLAYLISTS).replace("{other}", str(good / VIDEOS / "clip.ts")).encode()
    match rng.randrange(8):
        case 0:
            archive = io.BytesIO()
            with zipfile.ZipFile(archive, "w") as file:
                file.writestr(zipfile.ZipInfo("clip.mp4"), video)
            return archive.getvalue() + rng.choice([b"", video])
        case 1:
            return gzip.compress(rng.choice([video, bytes(10**6)]), mtime=0)
        case 2:
            return b"<!doctype html><html><script>alert(1)</script></html>" + rng.choice([b"", video])
        case 3:
            return playlist + video  # a text with a video behind it
        case 4:
            return video + playlist  # and the other way round
        case 5:  # a track whose pictures lie in another file
            return videos["mp4"].replace(b"url \0\0\0\1", b"url \0\0\0\0")
        case _:
            return rng.choice([b"", b"\xef\xbb\xbf", b"\n\n  "]) + playlist


def _frames(rng: random.Random, folder: pathlib.Path) -> pathlib.Path:
    """A folder of frames, one of them damaged, of another size, missing or no picture."""
    frames = folder / "frames"
    frames.mkdir()
    ending = rng.choice(["jpg", "png"])
    for number in range(1, 6):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 48, 3), np.uint8)
        Image.fromarray(pixels).save(frames / f"{number:05d}.{ending}")
    path = rng.choice(sorted(frames.iterdir()))
    match rng.randrange(5):
        case 0:
            data = bytearray(path.read_bytes())
            for _ in range(rng.randint(1, 20)):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
        case 1:
            path.write_bytes(path.read_bytes()[: rng.randrange(200)])
        case 2:
            path.unlink()
        case 3:
            Image.fromarray(np.zeros((rng.choice([1, 64]), 48, 3), np.uint8)).save(path)
        case _:
            path.write_bytes(rng.choice([b"", b"GIF89a", b"<html>", b"BM" + bytes(60)]))
    return frames
