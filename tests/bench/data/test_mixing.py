"""Labels are mixed as images are, by mixup or CutMix in turn, and odd batches too."""

import pytest
import torch

from bench.data.batches import Normaliser
from bench.data.loader import Mix
from datasets.transforms.augmentation import Mixing

CLASSES = 5


def coloured(labels: torch.Tensor, size: int = 20) -> torch.Tensor:
    """Every image is of one grey, which tells its class."""
    return (40 * labels.to(torch.uint8)).view(-1, 1, 1, 1).expand(-1, 3, size, size).contiguous()


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_shares_are_those_of_the_pixels(count: int) -> None:
    labels = torch.arange(count) % CLASSES
    images = coloured(labels)
    before = images.clone()
    for number in range(20):
        mixed, shares = Mix(Mixing(0.8, 1.0, 0.0), CLASSES)(images, labels, 0, number)
        greys = 40 * torch.arange(CLASSES).float()
        torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), shares @ greys, rtol=1e-4, atol=1e-2)
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(count))
        assert torch.equal(images, before)


def test_smoothing_gives_every_class_a_part() -> None:
    labels = torch.arange(7) % CLASSES
    _, shares = Mix(Mixing(0.8, 1.0, 0.1), CLASSES)(coloured(labels), labels, 0, 0)
    assert shares.min() == pytest.approx(0.02)
    assert shares[-1].tolist() == pytest.approx([0.02, 0.92, 0.02, 0.02, 0.02])  # the odd one out is not mixed


def test_half_of_the_batches_is_cut_and_half_blended() -> None:
    labels = torch.tensor([1, 4])
    kinds = []
    for number in range(200):
        mixed, _ = Mix(Mixing(0.8, 1.0, 0.0), CLASSES)(coloured(labels), labels, 3, number)
        kinds.append(len(mixed[0].unique()) > 1)
    assert 70 < sum(kinds) < 120  # some boxes cover all or nothing


def test_the_key_decides_and_the_random_numbers_of_others_go_on() -> None:
    labels, mix = torch.tensor([1, 4]), Mix(Mixing(0.8, 1.0, 0.1), CLASSES)
    before = torch.get_rng_state()
    first, again, other = (mix(coloured(labels), labels, *key)[1] for key in ((0, 1), (0, 1), (1, 1)))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_mixing_before_or_after_normalising_is_the_same() -> None:
    normalise = Normaliser.of((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), torch.device("cpu"))
    images = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mixed, shares = Mix(Mixing(0.8, 1e-9, 0.0), 2)(images, torch.tensor([0, 1]), 5)
    separate = normalise(images)
    torch.testing.assert_close(normalise(mixed[:1]), (shares[0].view(2, 1, 1, 1) * separate).sum(dim=0)[None])
