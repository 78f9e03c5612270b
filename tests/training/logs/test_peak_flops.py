import pytest

from motion_vit.training.logs.peak_flops import peak_flops_per_second


@pytest.mark.parametrize(
    ("kind", "bfloat16", "float32"),
    [
        ("TPU v5 lite", 197e12, 197e12),
        ("TPU v5", 459e12, 459e12),
        ("TPU7x", 1153.5e12, 1153.5e12),
        ("Tesla V100-SXM2-16GB", None, 15.7e12),
        ("NVIDIA A100-SXM4-80GB", 312e12, 156e12),
        ("NVIDIA A100 80GB PCIe", 312e12, 156e12),
        ("NVIDIA H100 80GB HBM3", 989.5e12, 494.5e12),
        ("NVIDIA H100 PCIe", 756.5e12, 378e12),
        ("NVIDIA H200", 989.5e12, 494.5e12),
        ("NVIDIA H200 NVL", 835.5e12, 417.5e12),
        ("NVIDIA L4", 121e12, 60e12),
        ("NVIDIA L40S", 366.5e12, 183e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12, 82.6e12),
    ],
)
def test_peaks_are_those_of_the_data_sheets_without_sparsity(kind: str, bfloat16: float | None, float32: float) -> None:
    assert peak_flops_per_second(kind, "bfloat16") == bfloat16
    assert peak_flops_per_second(kind, "float32") == float32


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("cpu", "float32"),
        ("NVIDIA H100 80GB HBM3 MIG 3g.40gb", "bfloat16"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "bfloat16"),
        ("NVIDIA A100-SXM4-80GB", "float64"),
    ],
)
def test_what_no_data_sheet_says_has_no_peak(kind: str, dtype: str) -> None:
    assert peak_flops_per_second(kind, dtype) is None
