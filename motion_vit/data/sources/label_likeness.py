"""Finds labels that differ only in their Unicode form, blanks or case, and so are probably meant to be one class."""

import logging
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

_logger = logging.getLogger(__name__)
_SHOWN_GROUPS = 5


def describe_lookalikes(label_names: Iterable[str]) -> str:
    """Names the labels that differ only in their Unicode form, blanks or case.

    Args:
      label_names: the names of the classes.

    Returns:
      A sentence; "" if there are none.
    """
    labels_like: dict[str, list[str]] = defaultdict(list)
    for label in dict.fromkeys(label_names):
        labels_like[_folded(label)].append(label)
    groups = [" and ".join(_told_apart(labels)) for labels in labels_like.values() if len(labels) > 1]
    if not groups:
        return ""
    more = f"; and {len(groups) - _SHOWN_GROUPS} more" if len(groups) > _SHOWN_GROUPS else ""
    return (
        "labels that differ only in their Unicode form, blanks or case are different classes: "
        f"{'; '.join(groups[:_SHOWN_GROUPS])}{more}. Write them alike if they are meant to be one"
    )


def warn_of_lookalikes(source: str, label_names: Iterable[str]) -> None:
    """Logs a warning if labels differ only in their Unicode form, blanks or case.

    Args:
      source: where the labels come from, for the message.
      label_names: the names of the classes.
    """
    if sentence := describe_lookalikes(label_names):
        _logger.warning("%s: %s.", source, sentence)


def lookalike(label: str, label_names: Iterable[str]) -> str:
    """Finds the class that an unknown label is meant to be, if they differ only in Unicode form, blanks or case.

    Args:
      label: an unknown label.
      label_names: the names of the classes.

    Returns:
      The end of a sentence, from a semicolon on; "" if there is no such class.
    """
    alike = [name for name in label_names if _folded(name) == _folded(label)]
    if not alike:
        return ""
    given, meant = _told_apart([label, alike[0]])
    return f"; {given} and the class {meant} differ only in their Unicode form, blanks or case."


def labels_among(labels: Iterable[str], label_names: Iterable[str]) -> list[str]:
    """Finds the labels that are among some classes, whatever their Unicode form, blanks and case.

    Args:
      labels: in some order.
      label_names: the names of the classes.

    Returns:
      Those labels, in their order.
    """
    classes = {_folded(name) for name in label_names}
    return [label for label in labels if _folded(label) in classes]


def _folded(label: str) -> str:
    """Returns what all spellings of a label share: no blanks, no invisible characters, one case and form."""
    form = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    return "".join(
        letter for letter in form if not letter.isspace() and unicodedata.category(letter) not in ("Cf", "Cc")
    )


def _told_apart(labels: Sequence[str]) -> list[str]:
    """Quotes labels so that one sees where they differ."""
    forms = {unicodedata.normalize("NFC", label) for label in labels}
    # Where only the form differs, the letters look the same: their code points are shown.
    return [repr(label) if len(forms) == len(labels) else ascii(label) for label in labels]
