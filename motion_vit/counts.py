"""Says how many there are of something, in one way everywhere."""

_HISSING = ("s", "x", "z", "ch", "sh")


def counted(number: int, noun: str, form: str = "") -> str:
    """Names a number of things.

    Args:
      number: how many.
      noun: one of them, such as "clip" or "held-out video".
      form: of the number, as Python's `format` takes it; "," separates thousands.

    Returns:
      Such as "1 clip" and "12 clips".
    """
    return f"{number:{form}} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Makes the plural of a noun.

    Args:
      noun: such as "clip", "batch" or "entry".

    Returns:
      Such as "clips", "batches" or "entries".
    """
    if noun.endswith(_HISSING):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"
