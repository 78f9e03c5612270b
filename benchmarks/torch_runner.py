"""The PyTorch side of a model benchmark: the twin of a model, its forward pass, training step and stages."""

import contextlib
import functools
import gc
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from matmul_rate import best_matmul_rate
from resident_memory import reset_resident_peak, resident_peak_megabytes
from run_conditions import usable_cores
from torch.nn import functional as F
from torch_options import TwinOptions
from torch_twin import make_twin


class TorchRunner:
    """The twin of a model, loaded and ready to be timed: on the GPU if PyTorch sees one, else on all cores.

    Args:
      options: shape of the network.
      dtype: "float32", or "bfloat16" for automatic mixed precision.
      compiled: whether it runs as `torch.compile` makes it.
    """

    def __init__(self, options: TwinOptions, dtype: str = "float32", *, compiled: bool = False) -> None:
        # PyTorch's own choice is half the cores where it takes them for hyperthreads; XLA uses all.
        torch.set_num_threads(usable_cores())
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self._device.type == "cuda":
            # TensorFloat-32 in matrix products as in convolutions, as XLA computes float32 on a GPU too.
            torch.set_float32_matmul_precision("high")
        torch.manual_seed(0)
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._network = make_twin(options).to(self._device)
        compile_it = torch.compile if compiled else _as_it_is
        self._run = compile_it(self._network)
        self._run_stage = {
            stage: compile_it(functools.partial(self._network.run_stage, stage)) for stage in self._network.stages
        }
        self._compiled = compiled

    def settings(self) -> dict[str, Any]:
        """Returns the settings for the report."""
        on_gpu = self._device.type == "cuda"
        return {
            "version": f"torch {torch.__version__}",
            "device": torch.cuda.get_device_name() if on_gpu else "cpu",
            "memory": "device" if on_gpu else "resident",
            "threads": torch.get_num_threads(),
            "memory_format": "channels_last",
            "attention": "scaled_dot_product_attention",
            "autocast": None if self._dtype == torch.float32 else str(self._dtype),
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "compiled": self._compiled,
            "optimizer": "AdamW, fused",
        }

    def save(self, weights: pathlib.Path) -> None:
        """Writes the network's random initial weights as an npz under PyTorch's names."""
        state_dict = self._network.state_dict()
        np.savez(weights, **{name: value.contiguous().cpu().numpy() for name, value in state_dict.items()})

    def load(self, weights: pathlib.Path, clips: np.ndarray, labels: np.ndarray, adamw: dict[str, float]) -> None:
        """Loads weights (an npz) and a batch, and makes an optimizer with these settings."""
        with np.load(weights) as arrays:
            state_dict = {name: torch.from_numpy(arrays[name]) for name in arrays}
        self._network.load_state_dict(state_dict, strict=True)
        self._optimizer = torch.optim.AdamW(
            self._network.parameters(),
            lr=adamw["learning_rate"],
            betas=(adamw["b1"], adamw["b2"]),
            eps=adamw["eps"],
            weight_decay=adamw["weight_decay"],
            fused=True,
        )
        self._clips = torch.from_numpy(clips).to(self._device)
        self._labels = torch.from_numpy(labels).long().to(self._device)

    def load_stages(self, arrays: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Loads the inputs of the stages and the gradients of their outputs."""
        self._stage_arrays = {
            name: tuple(torch.from_numpy(array).to(self._device) for array in pair) for name, pair in arrays.items()
        }

    def forward(self) -> np.ndarray:
        """Returns the logits of the batch in evaluation mode."""
        self._network.eval()
        with torch.inference_mode(), self._autocast():
            return self._run(self._clips).float().cpu().numpy()

    def train_step(self) -> float:
        """Updates the weights once; returns the loss before."""
        self._network.train()
        self._optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss = F.cross_entropy(self._run(self._clips), self._labels)
        loss.backward()
        self._optimizer.step()
        self._wait()
        return loss.item()

    def stage_output(self, name: str) -> np.ndarray:
        """Returns the output of a stage in evaluation mode."""
        return self._evaluate_stage(name).float().cpu().numpy()

    def stage_forward(self, name: str) -> None:
        """Runs a stage in evaluation mode."""
        self._evaluate_stage(name)
        self._wait()

    def stage_forward_backward(self, name: str) -> None:
        """Runs a stage in training mode with gradients of its parameters and, except for the first, of its input."""
        x, gradient = self._stage_arrays[name]
        self._network.train()
        self._network.zero_grad(set_to_none=True)
        x = x.detach().requires_grad_(name != self._network.stages[0])
        with self._autocast():
            output = self._run_stage[name](x)
        output.backward(gradient.to(output.dtype))
        self._wait()

    def matmul_rate(self) -> float:
        """Measures the best rate of matrix products in the model's dtype, in floating-point operations per second."""

        def prepare(size: int) -> Callable[[], None]:
            left, right = (torch.randn(size, size, device=self._device).to(self._dtype) for _ in range(2))

            def multiply() -> None:
                with torch.inference_mode():
                    left @ right
                self._wait()

            return multiply

        return best_matmul_rate(prepare)

    def reset_peak(self) -> None:
        """Resets the measurement of peak memory."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        else:
            gc.collect()
            reset_resident_peak()

    def peak_megabytes(self) -> float | None:
        """Returns the peak memory of the GPU's tensors, or of the process on a CPU."""
        return torch.cuda.max_memory_allocated() / 2**20 if self._device.type == "cuda" else resident_peak_megabytes()

    def _evaluate_stage(self, name: str) -> torch.Tensor:
        self._network.eval()
        with torch.inference_mode(), self._autocast():
            return self._run_stage[name](self._stage_arrays[name][0])

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def _as_it_is(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return function
