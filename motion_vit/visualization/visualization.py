"""Holds what a model sees in a clip of a video, shows it in a notebook, and saves it."""

import collections
import dataclasses
import os
import pathlib
import sys
from collections.abc import Sequence

from motion_vit.counts import counted
from motion_vit.outside_text import for_frame, for_html, for_plot, for_terminal
from motion_vit.visualization.clip_recording import What
from motion_vit.visualization.html_page import LARGEST_PAGE, html_page
from motion_vit.visualization.layer_maps import ClipFrames, LayerMap
from motion_vit.visualization.output_files import DEFAULT_FORMATS, Format, checked_formats, write_folder

LARGEST_IN_NOTEBOOK = 2 * 2**20
"""Characters of a page in a notebook, which keeps it in its file; the largest arrays are left out of it."""

_LONGEST_HEADING = 40
_ELSEWHERE = (
    "Pictures are shown in a notebook. Elsewhere, .save('FOLDER') writes them: open FOLDER/index.html in a browser."
)


@dataclasses.dataclass(frozen=True, repr=False)
class Visualization:
    """Maps of a model on a clip of a video. A notebook shows it as a page to explore.

    Attributes:
      video: name of the video.
      clip: the frames that the model saw.
      maps: maps of the layers, in order.
      what: kinds of maps that were requested.
      point: (y, x) of the chosen patch in pixels of the video.
      predictions: the most probable classes of this clip and their probabilities; () where its logits are not finite.
      model: short description of the model.
      notes: further remarks for the reader.
      has_random_weights: whether the model is untrained, which every picture must say.
      part: which part of the video the clip is, in words; "" for the clip of an evaluation with one of each video.
    """

    video: str
    clip: ClipFrames
    maps: tuple[LayerMap, ...]
    what: tuple[What, ...]
    point: tuple[float, float]
    predictions: tuple[tuple[str, float], ...]
    model: str
    notes: tuple[str, ...]
    has_random_weights: bool = False
    part: str = ""

    @property
    def heading(self) -> str:
        """The first words of every picture: the name of the video, shortened in the middle if it is long."""
        return self._marked(for_plot(self.video, _LONGEST_HEADING))

    def page(self, *, largest: int = LARGEST_PAGE) -> str:
        """Makes the page to explore.

        Args:
          largest: characters that it may have; beyond them, the largest arrays are left out, and a note says so.

        Returns:
          HTML, complete in itself.
        """
        return html_page(
            self.clip,
            self.maps,
            title=self._marked(self.video),
            subtitle=", ".join(filter(None, [self.model, self.part])),
            predictions=f"This clip looks like: {self._classes()}",
            notes=self.notes,
            point=self.point,
            largest=largest,
        )

    def save(
        self, folder: str | os.PathLike[str], *, formats: Format | Sequence[Format] = DEFAULT_FORMATS
    ) -> list[pathlib.Path]:
        """Writes pictures, arrays and the page.

        Args:
          folder: a new or empty folder; it is there as a whole or not at all.
          formats: what to write, one or several of "png", "gif", "mp4", "npz", "html".

        Returns:
          The files.

        Raises:
          UserError: there is no such format, or the folder holds something or cannot be made.
        """
        return write_folder(self, folder, checked_formats(formats))

    def show(self) -> None:
        """Shows the page in a notebook; elsewhere says in a sentence how to see it."""
        ipython = sys.modules.get("IPython")
        shell = None if ipython is None else ipython.get_ipython()
        # The shell of a terminal has no kernel, and nothing to show a page with.
        if ipython is None or getattr(shell, "kernel", None) is None:
            print(f"{self!r}\n{_ELSEWHERE}")
        else:
            ipython.display.display(self)

    def _repr_html_(self) -> str:
        """Makes what a notebook shows: the page, shut off from the notebook, with its largest arrays left out."""
        page = for_frame(self.page(largest=LARGEST_IN_NOTEBOOK))
        return (
            f'<iframe sandbox="allow-scripts allow-downloads" title="{for_html(self.heading)}" '
            f'style="width: 100%; height: 56rem; border: 0" srcdoc="{page}"></iframe>'
        )

    def __repr__(self) -> str:
        """Describes it in a line, without the arrays."""
        titles = collections.Counter(layer_map.title for layer_map in self.maps)
        maps = ", ".join(f"{title.lower()} ({count})" for title, count in titles.items())
        part = f", {self.part}" if self.part else ""
        return (
            f"<Visualization of {for_terminal(self._marked(self.video))}{part} by {for_terminal(self.model)}: "
            f"{counted(len(self.maps), 'map')}{': ' if maps else ''}{maps}; {for_terminal(self._classes())}>"
        )

    def _classes(self) -> str:
        return ", ".join(f"{name} {100 * share:.0f} %" for name, share in self.predictions) or "no class"

    def _marked(self, name: str) -> str:
        """Adds what every reader must know to the name of the video."""
        return f"{name} (random weights)" if self.has_random_weights else name
