"""The channels of an attention head."""


def channels_of_head(channels: int, heads: int) -> int:
    """Returns the channels of a head; refuses heads that do not divide the channels.

    Args:
      channels: of a token.
      heads: number of heads.

    Returns:
      Channels of each head.

    Raises:
      ValueError: the heads do not divide the channels.
    """
    if heads < 1 or channels < 1 or channels % heads:
        raise ValueError(f"heads is {heads}, but must divide the channels of a token, {channels}")
    return channels // heads
