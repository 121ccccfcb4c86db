"""Memory that processes share is the same memory in each."""

import multiprocessing

import pytest
import torch

from bench.data.shared import Shared


def write(place: Shared, value: int) -> None:
    place.tensor[1] = value


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_what_another_process_writes_is_here(method: str) -> None:
    place = Shared((2, 3))
    process = multiprocessing.get_context(method).Process(target=write, args=(place, 7))
    process.start()
    process.join()
    assert torch.equal(place.tensor, torch.tensor([[0, 0, 0], [7, 7, 7]], dtype=torch.uint8))
