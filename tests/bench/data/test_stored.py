"""Rows of states come to the device from wherever they are; the meta device stands for one here."""

from typing import Any

import pytest
import torch
from torch import Tensor

from bench.data.batches import Normaliser, Rows
from methods.states import IMAGES

DEVICE = torch.device("meta", 0)
CHOSEN = torch.tensor([2, 0])


def test_a_device_with_and_without_its_number_is_one() -> None:
    rows = Rows({"pooled": torch.empty(3, 4, device="meta")}, DEVICE)
    assert rows[CHOSEN.to("meta")]["pooled"].shape == (2, 4)


def test_images_are_indexed_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index elsewhere would be copied to them, and the host would wait for it in every step."""
    places: list[tuple[str, str]] = []
    index = Tensor.__getitem__

    def noted(tensor: Tensor, chosen: Any) -> Tensor:
        places.append((tensor.device.type, chosen.device.type))
        return index(tensor, chosen)

    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)  # which needs CUDA
    pixels = torch.empty(3, 3, 2, 2, dtype=torch.uint8, device="meta")
    rows = Rows({"pooled": torch.ones(3, 4)}, DEVICE, pixels, Normaliser.of((0.5,) * 3, (0.5,) * 3, DEVICE))
    monkeypatch.setattr(Tensor, "__getitem__", noted)
    found = rows[CHOSEN.to(rows.device)]
    assert places == [("cpu", "cpu"), ("meta", "meta")]
    assert {state.device.type for state in (found["pooled"], found[IMAGES])} == {"meta"}
