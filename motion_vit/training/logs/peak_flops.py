"""Peak FLOP/s of known devices, for the utilisation of a run."""

import re

import jax.numpy as jnp
from jax.typing import DTypeLike

# The kind of a device as JAX names it, in whole, and the 1e12 operations a second of its dense matrix products with
# bfloat16 and with float32 inputs; None where the hardware has no such units. Boost clocks count, sparsity does not.
# float32 stands for what XLA makes of it at JAX's default precision: TF32 on NVIDIA's tensor cores from Ampere on,
# plain FP32 before, and one bfloat16 pass on a TPU. What is not here has no known peak, nor has a slice of a GPU (MIG)
# or a laptop's GPU, whose clocks differ from machine to machine: their names match nothing.
_PEAK_TFLOPS: tuple[tuple[str, float | None, float | None], ...] = (
    # TPU: "peak compute per chip" in cloud.google.com/tpu/docs/{v3,v4,v5e,v5p,v6e,tpu7x}; v2 from Jouppi et al., "A
    # Domain-Specific Supercomputer for Training Deep Neural Networks", CACM 2020. A device of JAX is a whole chip, but
    # half of one with v2, v3 and TPU7x.
    (r"TPU v2", 46 / 2, 46 / 2),
    (r"TPU v3", 123 / 2, 123 / 2),
    (r"TPU v4", 275, 275),
    (r"TPU v5 lite|TPU v5e", 197, 197),
    (r"TPU v5p?", 459, 459),
    (r"TPU v6 lite|TPU v6e", 918, 918),
    (r"TPU7x", 2307 / 2, 2307 / 2),
    # NVIDIA's data centre GPUs: the data sheet of each (of B200, that of HGX B200). Those of Ada, Hopper and Blackwell
    # state the tensor cores with sparsity, hence the halves.
    (r"Tesla V100-SXM[23]-.*", None, 15.7),
    (r"Tesla V100-PCIE-.*", None, 14.0),
    (r"Tesla T4", None, 8.1),
    (r"NVIDIA A10", 125, 62.5),
    (r"NVIDIA A10G", 70, 35),
    (r"NVIDIA A30", 165, 82),
    (r"NVIDIA A40", 149.7, 74.8),
    (r"(NVIDIA )?A100-(SXM4|PCIE)-\d+GB|NVIDIA A100 80GB PCIe", 312, 156),
    (r"NVIDIA L4", 242 / 2, 120 / 2),
    (r"NVIDIA L40", 181, 90.5),
    (r"NVIDIA L40S", 733 / 2, 366 / 2),
    (r"NVIDIA H100 PCIe", 1513 / 2, 756 / 2),
    (r"NVIDIA (H100|H200) NVL", 1671 / 2, 835 / 2),
    (r"NVIDIA H100 80GB HBM3|NVIDIA H200|NVIDIA GH200 \d+GB", 1979 / 2, 989 / 2),
    (r"NVIDIA B200", 4500 / 2, 2200 / 2),
    (r"NVIDIA GB200", 5000 / 2, 2500 / 2),
    # NVIDIA's cards for workstations and games, with FP32 accumulation: the white papers of GA102 (Ampere), Ada and RTX
    # Blackwell, appendices.
    (r"NVIDIA GeForce RTX 3080", 59.5, 29.8),
    (r"NVIDIA GeForce RTX 3090", 71, 35.6),
    (r"NVIDIA GeForce RTX 3090 Ti", 80, 40),
    (r"NVIDIA RTX A6000", 154.8, 77.4),
    (r"NVIDIA GeForce RTX 4080", 97.5, 48.7),
    (r"NVIDIA GeForce RTX 4090", 165.2, 82.6),
    (r"NVIDIA RTX 6000 Ada Generation", 364.2, 182.1),
    (r"NVIDIA GeForce RTX 5090", 209.5, 104.8),
)


def peak_flops_per_second(device_kind: str, dtype: DTypeLike) -> float | None:
    """Returns the peak rate of one device in dense matrix products.

    Args:
      device_kind: `jax.Device.device_kind`.
      dtype: dtype of the computation; float32 at JAX's default precision.

    Returns:
      Floating-point operations per second (a multiply-add is two), None if the peak of the device or dtype is unknown.
    """
    column = {"bfloat16": 0, "float32": 1}.get(jnp.dtype(dtype).name)
    if column is None:
        return None
    for pattern, *peaks in _PEAK_TFLOPS:
        if re.fullmatch(pattern, device_kind):
            peak = peaks[column]
            return None if peak is None else peak * 1e12
    return None
