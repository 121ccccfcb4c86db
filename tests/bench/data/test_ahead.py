"""Work in other processes changes nothing here."""

import operator

import torch

from bench.data.ahead import ahead


def test_reading_in_processes_leaves_the_random_numbers_alone() -> None:
    """Else the masks of dropout would depend on how images are read."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert list(ahead(operator.neg, [1, 2, 3], workers=1)) == [-1, -2, -3]
    assert torch.equal(torch.get_rng_state(), before)
