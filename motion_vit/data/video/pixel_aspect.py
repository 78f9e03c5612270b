"""The shape of a video's pixels (sample aspect ratio).

Pictures are decoded as they are stored, as the published loaders do: the resized files of Kinetics are of this kind.
"""

import fractions

import av.video.stream

_SQUARE = fractions.Fraction(1)
# Scaling a video to whole pixels leaves aspect ratios such as 404:405, which nobody means.
_TOLERATED = 0.02
# Anamorphic video goes to about 2. Beyond this a header is damaged.
_LARGEST = 4


def pixel_aspect(stream: av.video.stream.VideoStream) -> fractions.Fraction:
    """Reads the width of a stream's pixels in units of their height.

    Args:
      stream: of an opened video.

    Returns:
      The aspect ratio; 1 where the file does not say it, where it differs from 1 by less than 2 %, as rounding leaves
      it, or where it is not credible.
    """
    stored = stream.sample_aspect_ratio
    if not stored:  # PyAV gives None or 0/1 for an unknown one
        return _SQUARE
    aspect = fractions.Fraction(stored.numerator, stored.denominator)
    if abs(aspect - 1) <= _TOLERATED or not 1 / _LARGEST <= aspect <= _LARGEST:
        return _SQUARE
    return aspect
