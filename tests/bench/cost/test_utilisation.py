"""Model FLOPs utilisation: of devices whose peak is known, and None of others."""

import pytest

from bench.cost.utilisation import peak_flops, utilisation


def test_it_is_the_work_over_what_the_device_could_do() -> None:
    assert utilisation(100 * 10**9, 4947.5, "NVIDIA H200", "bf16") == pytest.approx(0.5)
    assert utilisation(10**9, 6500.0, "Tesla T4", "fp16") == pytest.approx(0.1)


def test_peaks_depend_on_the_precision() -> None:
    assert peak_flops("NVIDIA A100-SXM4-80GB", "fp32") == 19.5e12
    assert peak_flops("NVIDIA A100-SXM4-80GB", "bf16") == 312e12


@pytest.mark.parametrize(("device", "precision"), [("cpu", "fp32"), ("Tesla T4", "bf16"), ("NVIDIA H200 NVL", "bf16")])
def test_an_unknown_peak_is_none(device: str, precision: str) -> None:
    assert peak_flops(device, precision) is None
    assert utilisation(10**9, 100.0, device, precision) is None
