"""The training loop: the numbers of a loop written by hand, from the seed alone, until they stop being numbers."""

import math

import pytest
import torch
from torch.nn import functional

from bench.data.batches import Normaliser, shuffled, steps_by_epoch, steps_in_epoch
from bench.train.loop import Diverged, Epoch, train
from datasets import Split
from methods import Network
from methods.recipe import Recipe, resolve
from methods.spec import parse
from tests.methods.small import CLASSES, SIZE, learning, network_of

CPU = torch.device("cpu")
PLAIN = Normaliser.of((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), CPU)


def split(images: int = 10, seed: int = 7) -> Split:
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (images, 3, SIZE, SIZE), generator=random, dtype=torch.uint8)
    return Split(pixels, torch.randint(CLASSES, (images,), generator=random))


def trained(spec: str = "linear", seed: int = 3, images: int = 10, **recipe: object) -> tuple[Network, list[Epoch]]:
    """A network after its training, and what was reported of it."""
    values = {"epochs": 3, "batch_size": 4, "warmup_epochs": 0, **recipe}
    network, epochs = network_of(spec, drop_path=values.get("drop_path", 0.0)), []
    torch.manual_seed(seed)
    train(network, split(images), PLAIN, Recipe(**values), seed, epochs.append)
    return network, epochs


def by_hand(network: Network, data: Split, epochs: int, rate: float, decay: float, seed: int) -> list[float]:
    """The same training in plain PyTorch; the sum of the losses of each epoch's images."""
    optimizer = torch.optim.AdamW(learning(network), lr=rate, weight_decay=decay, fused=True)
    order, losses = torch.Generator().manual_seed(seed), []
    for epoch in range(epochs):
        losses.append(0.0)
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * rate * (1 + math.cos(math.pi * epoch / epochs))
        for chosen in torch.randperm(len(data), generator=order).split(4):
            loss = functional.cross_entropy(network(PLAIN(data.images[chosen])), data.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1] += loss.item() * len(chosen)
    return losses


@pytest.mark.parametrize("spec", ["linear", "full", "lora", "vpt_deep"])
def test_the_loop_is_a_plain_loop_to_the_last_digit(spec: str) -> None:
    network, epochs = trained(spec, decay="all", weight_decay=0.1, learning_rate=1e-2, drop_path=0.2)
    other = network_of(spec, drop_path=0.2)
    torch.manual_seed(3)
    losses = by_hand(other, split(), epochs=3, rate=1e-2, decay=0.1, seed=3)
    weights = other.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    assert [10 * epoch.loss for epoch in epochs] == pytest.approx(losses, rel=1e-5)


def test_updates_can_be_counted_and_keep_the_order_of_the_first_epoch() -> None:
    """Three batches an epoch, of which five updates take one whole epoch and two thirds of the next."""
    adamw = {"learning_rate": 1e-2, "decay": "all", "weight_decay": 0.1}
    network, epochs = trained("linear", **adamw, schedule_unit="step", steps=5, reshuffle=False)
    other, data = network_of("linear"), split()
    optimizer = torch.optim.AdamW(learning(other), lr=1e-2, weight_decay=0.1, fused=True)
    parts = torch.randperm(len(data), generator=torch.Generator().manual_seed(3)).split(4)
    for step, chosen in enumerate((*parts, *parts[:2])):
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * 1e-2 * (1 + math.cos(math.pi * step / 5))
        optimizer.zero_grad()
        functional.cross_entropy(other(PLAIN(data.images[chosen])), data.labels[chosen]).backward()
        optimizer.step()
    assert [epoch.number for epoch in epochs] == [1, 2]
    torch.testing.assert_close(network.head.weight, other.head.weight, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("images", "epochs"), [(1000, [8] * 62 + [4]), (800, [7] * 63), (128, [1] * 63)])
def test_head2toe_of_the_paper_takes_500_updates(images: int, epochs: list[int]) -> None:
    recipe, _ = resolve("paper", parse("head2toe")[0], "cifar", {})
    assert steps_by_epoch(recipe, steps_in_epoch(images, recipe)) == epochs
    assert not recipe.reshuffle
    short, _ = resolve("paper", parse("head2toe")[0], "cifar", {"epochs": 6})
    assert sum(steps_by_epoch(short, 8)) == 48


def test_the_seed_decides_the_losses() -> None:
    first, again, other = ([epoch.loss for epoch in trained("lora", seed)[1]] for seed in (3, 3, 4))
    assert first == again
    assert not set(first) & set(other)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_training_lowers_the_loss(optimizer: str) -> None:
    _, epochs = trained("full", optimizer=optimizer, epochs=12, learning_rate=3e-3 if "adam" in optimizer else 0.05)
    assert epochs[-1].loss < 0.7 * epochs[0].loss
    assert epochs[-1].accuracy > epochs[0].accuracy
    assert [epoch.number for epoch in epochs] == list(range(1, 13))
    assert all(epoch.seconds > 0 for epoch in epochs)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_trains_and_keeps_weights_in_full(precision: str) -> None:
    network, epochs = trained("lora", precision=precision)
    assert all(math.isfinite(epoch.loss) for epoch in epochs)
    assert {parameter.dtype for parameter in network.parameters() if parameter.requires_grad} == {torch.float32}
    frozen = {parameter.dtype for parameter in network.parameters() if not parameter.requires_grad}
    assert frozen <= {torch.float32, {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)}
    exact = trained("lora")[1]
    assert epochs[-1].loss == pytest.approx(exact[-1].loss, rel=0.05)


@pytest.mark.parametrize(
    ("images", "drop_last", "sizes"),
    [(10, False, [4, 4, 2]), (10, True, [4, 4]), (8, True, [4, 4]), (3, True, [3]), (3, False, [3]), (1, True, [1])],
)
def test_batches_of_an_epoch(images: int, drop_last: bool, sizes: list[int]) -> None:
    data = Split(torch.arange(images), torch.arange(images))
    order = torch.Generator().manual_seed(0)
    first, second = (list(shuffled(data, 4, drop_last, order)) for _ in range(2))
    assert [len(labels) for _, labels in first] == sizes
    assert all(torch.equal(*pair) for pair in first)
    seen = [torch.cat([labels for _, labels in epoch]).tolist() for epoch in (first, second)]
    assert len(set(seen[0])) == sum(sizes)
    assert images < 8 or seen[0] != seen[1]


def test_the_epoch_counts_the_images_it_saw() -> None:
    _, epochs = trained(drop_last=True, epochs=1)
    assert epochs[0].accuracy * 8 == pytest.approx(round(epochs[0].accuracy * 8))


def test_an_evaluation_in_between_does_not_end_training_mode() -> None:
    network, modes = network_of("lora"), []
    network.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    train(network, split(4), PLAIN, Recipe(epochs=3, batch_size=4), 0, lambda _: network.eval())
    assert modes == [True, True, True]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_loss_that_is_no_number_ends_the_training(precision: str) -> None:
    seen: list[Epoch] = []
    recipe = Recipe(learning_rate=1e30, optimizer="sgd", epochs=9, batch_size=4, warmup_epochs=0, precision=precision)
    with pytest.raises(Diverged, match=r"^the loss was (nan|inf) in epoch \d of 9$"):
        train(network_of("full"), split(), PLAIN, recipe, 0, seen.append)
    assert len(seen) < 9
    assert all(math.isfinite(epoch.loss) for epoch in seen)


def test_images_are_normalised_by_channel() -> None:
    images = split().images
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    centre, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    expected = (images.double() / 255 - centre) / deviation
    normalised = Normaliser.of(mean, std, CPU)(images)
    assert normalised.dtype == torch.float32
    torch.testing.assert_close(normalised.double(), expected, rtol=1e-5, atol=1e-6)
