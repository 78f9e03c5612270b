"""The paths of the parameters of a temporal encoder, which joins what a spatial one has made of frames."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class TemporalEncoder:
    """The parts of a temporal encoder, so that they can start from other weights than the rest of a model.

    Paths have their parts joined by "/", and those of modules end in one.

    Attributes:
      blocks: paths of its blocks, from the first to the last.
      image_blocks: for each of them the path of the block of the spatial encoder that it may be a copy of. () where the
        spatial encoder has fewer blocks.
      times: path of its table of times, an entry a frame behind one a class token.
      class_tokens: entries of class tokens in that table.
      norm: path of the normalisation behind its blocks.
      adapter: path of what stands before it; "" where there is none.
    """

    blocks: tuple[str, ...]
    image_blocks: tuple[str, ...]
    times: str
    class_tokens: int
    norm: str
    adapter: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """Beginnings of the paths of all its parameters, without those of the adapter."""
        table, _, _ = self.times.rpartition("/")
        return (f"{table}/", *self.blocks, self.norm)

    @property
    def copies(self) -> Mapping[str, str]:
        """Block -> block of the spatial encoder."""
        return dict(zip(self.blocks, self.image_blocks, strict=True)) if self.image_blocks else {}

    def behind(self, prefix: str) -> "TemporalEncoder":
        """Returns the paths when the model is behind an input adapter.

        Args:
          prefix: of `VideoModel.inner_prefix`.
        """
        return TemporalEncoder(
            tuple(prefix + path for path in self.blocks),
            tuple(prefix + path for path in self.image_blocks),
            prefix + self.times,
            self.class_tokens,
            prefix + self.norm,
            self.adapter and prefix + self.adapter,
        )
