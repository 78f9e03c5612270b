"""Options of adaptation at test time, and what they are by default for which model."""

import dataclasses
from collections.abc import Mapping
from typing import Literal, get_args

from motion_vit.errors import UserError
from motion_vit.ranges import NONE, SEED, Choice, Either, Flag, Number, Range, Text, Whole, problems

Method = Literal["vitta", "tent", "norm"]
"""How a model is adapted: ViTTA, Tent, or BatchNorm's statistics alone."""

Start = Literal["zero", "source"]

METHODS: tuple[str, ...] = get_args(Method)

_RATE = Number(0, 1000)
_ALPHA = Number(0, 1, above=True)

ADAPTATION_RANGES: Mapping[str, Range] = {
    "method": Choice(METHODS),
    "layers": Text(1000),
    "learning_rate": Either(NONE, _RATE),
    "momentum": Number(0, 1, below=True),
    "weight_decay": Either(NONE, _RATE),
    "alpha": Either(NONE, _ALPHA),
    "consistency": Either(NONE, _RATE),
    "views": Whole(1, 100),
    "start": Choice(get_args(Start)),
    "reset": Flag(),
    "seed": SEED,
    "order_seed": Either(NONE, SEED),
}
"""Option of adaptation -> what it may be."""


@dataclasses.dataclass(frozen=True)
class AdaptationOptions:
    """Options of adaptation.

    Attributes:
      method: "vitta" aligns the outputs of normalisation layers with their statistics on the source data, and the
        predictions of views with each other (Lin et al., CVPR 2023, arXiv 2211.15393). "tent" makes predictions surer
        by scales and shifts of normalisation layers (Wang et al., ICLR 2021, arXiv 2006.10726). "norm" changes no
        parameter: it estimates the statistics of BatchNorm again, which "tent" does, too.
      layers: for "vitta", a regular expression that matches the whole path of each aligned layer, such as
        `stage4/.*norm2`; "" for those of the last half of the stages and behind them.
      learning_rate: of SGD; None for that of the authors.
      momentum: of SGD.
      weight_decay: of SGD, on all parameters that it changes; None for that of the authors.
      alpha: share of the current video in running statistics; None for that of the authors.
      consistency: for "vitta", weight of the disagreement of views; None for that of the authors.
      views: views of each video to adapt on.
      start: for "vitta", where the statistics of test videos start: at "zero", as published, or at the "source"'s.
      reset: whether to start anew with every video, whose statistics then count alone (alpha = 1; "tta_standard" of the
        authors).
      seed: fixes dropout and stochastic depth.
      order_seed: another order of the videos, shuffled by this seed; None keeps theirs.
    """

    method: Method = "vitta"
    layers: str = ""
    learning_rate: float | None = None
    momentum: float = 0.9
    weight_decay: float | None = None
    alpha: float | None = None
    consistency: float | None = None
    views: int = 2
    start: Start = "zero"
    reset: bool = False
    seed: int = 0
    order_seed: int | None = None

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
          UserError: a value is out of its range.
        """
        if found := problems(dataclasses.asdict(self), ADAPTATION_RANGES):
            raise UserError(f"adaptation: {found[0]}.")

    def settled(self, *, batch_norm: bool) -> "ChosenOptions":
        """Fills in what is left to the authors.

        Args:
          batch_norm: whether the model has BatchNorm.

        Returns:
          Numbers where there were None: of ViTTA those for TANet with BatchNorm, or those for Video Swin without. Of
          Tent its rate for ImageNet. BatchNorm alone moves as in training.
        """
        rate, decay, alpha, consistency = _VITTA_BATCH_NORM if batch_norm else _VITTA_LAYER_NORM
        if self.method != "vitta":
            rate, decay, alpha, consistency = (_TENT_RATE if self.method == "tent" else 0.0), 0.0, 0.1, 0.0
        return ChosenOptions(
            learning_rate=rate if self.learning_rate is None else self.learning_rate,
            weight_decay=decay if self.weight_decay is None else self.weight_decay,
            alpha=1.0 if self.reset else alpha if self.alpha is None else self.alpha,
            consistency=consistency if self.consistency is None else self.consistency,
        )


def options_of(method: str) -> tuple[str, ...]:
    """Lists the options that a method reads, besides its name.

    Args:
      method: one of `Method`.
    """
    every = tuple(name for name in ADAPTATION_RANGES if name != "method")
    of_vitta = ("layers", "consistency", "start")
    of_losses = ("learning_rate", "momentum", "weight_decay")
    if method == "vitta":
        return every
    left_out = of_vitta if method == "tent" else (*of_vitta, *of_losses)
    return tuple(name for name in every if name not in left_out)


@dataclasses.dataclass(frozen=True)
class ChosenOptions:
    """The options that the authors' choice may fill in; see `AdaptationOptions`."""

    learning_rate: float
    weight_decay: float
    alpha: float
    consistency: float


# Learning rate, weight decay, alpha and weight of the consistency, for TANet and for Video Swin.
_VITTA_BATCH_NORM = (5e-5, 5e-4, 0.1, 0.1)
_VITTA_LAYER_NORM = (1e-5, 5e-4, 0.05, 0.05)
_TENT_RATE = 2.5e-4
