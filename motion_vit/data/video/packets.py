"""Reads the packets of a video stream without decoding: number of frames, timestamps, and keyframes.

A decoder needs the packets from a keyframe to the wanted frame, in decoding order. With B-frames that is not the order
of display, and in an open group of pictures frames shown before a keyframe follow it in the file and need the keyframe
before it.
"""

import bisect
import dataclasses
import fractions
import functools
from collections.abc import Callable, Sequence

import av.container
import av.packet
import av.video.stream

from motion_vit.data.video.container import demux, frame_rate, is_empty, time_base

# Containers that say when each packet is shown. AVI does not: the times that FFmpeg makes up are those of decoding.
_TIMED_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
# Codecs of which every packet that is shown is one frame, and whose decoders carry the timestamp of the packet to it.
_FRAME_PER_PACKET = frozenset({"h264", "hevc", "vp8", "vp9", "av1"})
_VP8_SHOW_FRAME = 0x10
# Bytes. A packet below this can say "nothing has changed", for which decoders of screen captures give no frame, and
# those of MPEG-4 neither where B-frames are packed. The smallest packets of a frame of other codecs are longer.
_LEAST_PICTURE = 16


@dataclasses.dataclass(frozen=True)
class PacketTable:
    """The packets of a video stream in decoding order.

    Attributes:
      pts: presentation timestamps, in units of `time_base`; None where the container has none.
      durations: display durations, in units of `time_base`; 0 where the container does not say.
      keyframes: whether decoding can start at it.
      shown: whether its frame is shown: edit lists and VP8 have packets that only others need.
      time_base: seconds per unit of time.
      frame_rate: mean frames per second, or None where the container does not say.
      numbered: whether timestamps identify the frame of a packet.
      end: the latest end of a packet, also of an empty one, in units of `time_base`; None if unknown.
      empty: packets without data besides these: the picture before them stays.
      countable: whether each packet shown can be taken for a frame; if not, only decoding tells.
    """

    pts: tuple[int | None, ...]
    durations: tuple[int, ...]
    keyframes: tuple[bool, ...]
    shown: tuple[bool, ...]
    time_base: fractions.Fraction
    frame_rate: fractions.Fraction | None
    numbered: bool
    end: int | None
    empty: int
    countable: bool

    @property
    def frames(self) -> int:
        """The number of frames shown."""
        return sum(self.shown)

    @functools.cached_property
    def display_order(self) -> tuple[int, ...]:
        """The packet of each shown frame, in display order."""
        shown = [packet for packet, is_shown in enumerate(self.shown) if is_shown]
        if any(self.pts[packet] is None for packet in shown):
            return tuple(shown)
        return tuple(sorted(shown, key=lambda packet: self.pts[packet] or 0))

    @property
    def times(self) -> tuple[float, ...] | None:
        """Seconds of each shown frame since the first; None where neither timestamps nor a rate are known."""
        pts = [self.pts[packet] for packet in self.display_order]
        known = [time for time in pts if time is not None]
        if len(known) == len(pts):
            return tuple(float((time - known[0]) * self.time_base) for time in known)
        if self.frame_rate:
            return tuple(float(frame / self.frame_rate) for frame in range(len(pts)))
        return None

    def keyframe_before(self, packet: int) -> int:
        """Returns the packet at which decoding must start to give the frame of `packet`.

        Args:
          packet: a packet of a table that is `numbered`.

        Returns:
          The last keyframe before it in decoding order that is not shown after it.
        """
        time = self.pts[packet] or 0
        until = bisect.bisect_right(self._keyframe_packets, packet)
        return next(
            candidate for candidate in reversed(self._keyframe_packets[:until]) if (self.pts[candidate] or 0) <= time
        )

    @functools.cached_property
    def _keyframe_packets(self) -> tuple[int, ...]:
        return tuple(packet for packet, is_keyframe in enumerate(self.keyframes) if is_keyframe)

    def runs(self, frames: Sequence[int]) -> list[tuple[int, int]]:
        """Returns the runs of packets to decode for chosen frames.

        Args:
          frames: frame numbers in display order, of a table that is `numbered`.

        Returns:
          (first, last) packets, each run starting with a keyframe, in decoding order, without overlap.
        """
        spans = sorted((self.keyframe_before(packet), packet) for packet in (self.display_order[f] for f in frames))
        merged: list[tuple[int, int]] = []
        for first, last in spans:
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        return merged


def read_packets(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    last_frame: int | None = None,
    on_packet: Callable[[av.packet.Packet], None] | None = None,
) -> PacketTable:
    """Reads the packets of a stream that has not been read from yet.

    Args:
      container: the container, at its start.
      stream: of the container.
      last_frame: last frame of interest: reading stops once its packet is known. None reads all packets.
      on_packet: called with every packet of the file, also of other streams. Without it those are not read.

    Returns:
      The table.
    """
    pts, durations, keyframes, shown = [], [], [], []
    frames = frames_before_keyframe = empty = 0
    codec = codec_name(stream)
    countable = True
    end: int | None = None
    for packet in demux(container, None if on_packet else stream):
        if on_packet:
            on_packet(packet)
        if packet.stream.index == stream.index and packet.pts is not None:
            end = max(end or 0, packet.pts + (packet.duration or 0))
        if packet.size == 0 or packet.stream.index != stream.index:
            empty += is_empty(packet) and packet.stream.index == stream.index
            continue
        countable = countable and (packet.size >= _LEAST_PICTURE or codec in _FRAME_PER_PACKET)
        if packet.is_keyframe:
            # The frames before the previous keyframe are settled: those that follow it in the file are shown later.
            if last_frame is not None and frames_before_keyframe > last_frame:
                break
            frames_before_keyframe = frames
        pts.append(packet.pts)
        durations.append(packet.duration or 0)
        keyframes.append(packet.is_keyframe)
        shown.append(_is_shown(packet, codec))
        frames += shown[-1]
    return PacketTable(
        pts=tuple(pts),
        durations=tuple(durations),
        keyframes=tuple(keyframes),
        shown=tuple(shown),
        time_base=time_base(stream) or fractions.Fraction(1),
        frame_rate=frame_rate(stream),
        numbered=_is_numbered(container, stream, pts, keyframes, shown),
        end=end,
        empty=empty,
        countable=countable,
    )


def codec_name(stream: av.video.stream.VideoStream) -> str:
    """Returns FFmpeg's name of a stream's codec, whichever decoder is used: "av1", not "libdav1d"."""
    return stream.codec_context.codec.canonical_name


def has_frame_times(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> bool:
    """Tells if timestamps identify frames in this container and codec."""
    return container.format.name in _TIMED_CONTAINERS and codec_name(stream) in _FRAME_PER_PACKET


def _is_shown(packet: av.packet.Packet, codec: str) -> bool:
    if packet.is_discard:  # an edit list hides it
        return False
    # RFC 6386, section 9.1: the frame tag of an alternate reference frame lacks this bit.
    return codec != "vp8" or bool(bytes(packet)[0] & _VP8_SHOW_FRAME)


def _is_numbered(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    pts: Sequence[int | None],
    keyframes: Sequence[bool],
    shown: Sequence[bool],
) -> bool:
    """Tells if decoding from the start gives frames in the order of `pts`, one for every shown packet."""
    known = [time for time in pts if time is not None]
    if not has_frame_times(container, stream) or not known or len(set(known)) != len(pts):
        return False
    # Without a keyframe at the start, or with frames shown before it, decoders drop frames, each in its own way.
    return keyframes[0] and all(time >= known[0] for time, is_shown in zip(known, shown, strict=True) if is_shown)
