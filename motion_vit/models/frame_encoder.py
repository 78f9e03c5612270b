"""The part of a model that encodes frames one by one, whose tokens can be kept in place of the videos."""

import re
from typing import NamedTuple


class FrameEncoder(NamedTuple):
    """Describes the encoder of frames of a model.

    The model has two methods: `frame_tokens(clips, train)` runs the encoder and gives tokens `[b, frames, tokens, c]`,
    `classify_frame_tokens(tokens, train)` runs all that follows and gives logits. `__call__` does one after the other.

    Attributes:
      patterns: regular expressions that match the paths of its parameters and running statistics as a whole.
      options_of_the_rest: options of the model that change nothing of its tokens.
      is_frozen: whether training leaves it as it is.
      how_to_freeze: the options that freeze it, as `option=value`, for messages.
    """

    patterns: tuple[str, ...]
    options_of_the_rest: tuple[str, ...]
    is_frozen: bool
    how_to_freeze: str

    def has(self, path: str) -> bool:
        """Tells if a parameter, a running statistic or a module, whose path ends in "/", is one of the encoder's."""
        return any(re.fullmatch(pattern, path) for pattern in self.patterns)
