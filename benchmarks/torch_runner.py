"""PyTorch's side of a model benchmark: the twin of a model, its forward pass and training step."""

import os
import pathlib

import numpy as np
import torch
from torch.nn import functional as F
from torch_options import TwinOptions
from torch_twin import make_twin


class TorchRunner:
    """The twin of a model, loaded and ready to be timed.

    Args:
      options: shape of the network.
    """

    version = f"torch {torch.__version__}"

    def __init__(self, options: TwinOptions) -> None:
        # PyTorch's own choice is half the cores where it takes them for hyperthreads; XLA uses all.
        torch.set_num_threads(os.cpu_count() or 1)
        torch.manual_seed(0)
        self.network = make_twin(options)

    def save(self, weights: pathlib.Path) -> None:
        """Writes the random weights that the network was made with as an npz under PyTorch's names."""
        np.savez(weights, **{name: value.contiguous().numpy() for name, value in self.network.state_dict().items()})

    def load(self, weights: pathlib.Path, clips: np.ndarray, labels: np.ndarray, adamw: dict[str, float]) -> None:
        """Loads weights (an npz), a batch, and makes an optimizer of these settings."""
        with np.load(weights) as arrays:
            state_dict = {name: torch.from_numpy(arrays[name]) for name in arrays}
        self.network.load_state_dict(state_dict, strict=True)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=adamw["learning_rate"],
            betas=(adamw["b1"], adamw["b2"]),
            eps=adamw["eps"],
            weight_decay=adamw["weight_decay"],
            fused=True,
        )
        self.clips, self.labels = torch.from_numpy(clips), torch.from_numpy(labels).long()

    def forward(self) -> np.ndarray:
        """Returns the logits of the batch in evaluation mode."""
        with torch.inference_mode():
            return self.network.eval()(self.clips).numpy()

    def train_step(self) -> float:
        """Updates the weights once; returns the loss before."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.network.train()(self.clips), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()
