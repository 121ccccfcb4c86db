"""What every method keeps to on CUDA, tried without it; a new file in `methods/` is held to it by itself.

All tensors on the device, none made on the host in a step, nothing asked of the device or sent to it in a step.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DynamicOutputShapeException

from bench.data.batches import Normaliser, Rows, Stored
from bench.data.loader import Mix
from bench.train.evaluate import Scoring, evaluate
from bench.train.loop import train
from bench.train.step import loss_of
from datasets.base import Split
from datasets.transforms.augmentation import Mixing
from methods import METHODS, Network
from methods.recipe import Recipe
from methods.spec import parse
from methods.states import IMAGES
from tests.bench.pretend import Device, backward, pretended
from tests.methods.small import CLASSES, SIZE, batch, disturb, learning, network_of

CUDA = torch.device("cuda")  # as the command line names it; tensors there are on cuda:0
COUNT = 3
OTHER_WAYS = ("lora:target=qv", "dtl:start=3:kernel=4", "lst:reduction=4:pool=mean", "vqt:tokens=3:pool=weighted")
TRAINING = {"_to_copy": 2, "_local_scalar_dense": 2}  # an epoch sends the order, twice, and asks for loss and accuracy
SCORING = {"to": 2, "_local_scalar_dense": 1}  # a batch of images and its labels; the number of hits


def split(place: torch.device | str) -> Split:
    images = torch.zeros(COUNT, 3, SIZE, SIZE, dtype=torch.uint8, device=place)
    return Split(images, torch.zeros(COUNT, dtype=torch.int64, device=place))


def normaliser() -> Normaliser:
    return Normaliser.of((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), CUDA)


def recipe(precision: str) -> Recipe:
    return Recipe(epochs=1, batch_size=COUNT, precision=precision, drop_path=0.1, backbone_dropout=0.1)


def epoch(network: Network, read: Split | Stored, precision: str, device: Device) -> dict[str, int]:
    """What a step and the frame of an epoch take to and fro."""
    normalise = normaliser()
    device.crossings.clear()
    device.updated = 0
    train(network, read, normalise, recipe(precision), 0, lambda _: None)
    assert device.updated == len(learning(network))
    return dict(device.crossings)


@pytest.mark.parametrize("spec", [*METHODS, *OTHER_WAYS])
def test_a_step_stays_on_the_device(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(spec, drop_path=0.1, backbone_dropout=0.1)
    with pretended(monkeypatch) as device:
        network.to(CUDA)
        assert epoch(network, split(CUDA), "fp16", device) == TRAINING
        assert {tensor.device.type for tensor in network.state_dict().values()} == {"cuda"}


@pytest.mark.parametrize("spec", ["full", "lora", "synqt:kem=trainable"])
def test_a_step_with_all_options_stays_on_the_device(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(spec, drop_path=0.1, activations="both,velora:fc2:groups=4")
    with pretended(monkeypatch) as device:
        network.to(CUDA)
        assert epoch(network, split(CUDA), "bf16", device) == TRAINING


@pytest.mark.parametrize("spec", METHODS)
def test_a_folded_network_stays_on_the_device(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(spec)
    with pretended(monkeypatch) as device:
        merged, normalise = parse(spec)[0].merge(network.to(CUDA)), normaliser()
        device.crossings.clear()
        evaluate(merged, split("cpu"), Scoring(normalise, "bf16", CUDA)).accuracy()
        assert dict(device.crossings) == SCORING
        assert {tensor.device.type for tensor in merged.state_dict().values()} == {"cuda"}


@pytest.mark.parametrize("spec", ["linear", "dtl", "vqt", "side_tuning"])
def test_a_step_on_kept_states_stays_on_the_device(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(spec)
    with pretended(monkeypatch) as device:
        read = stored(network, "cuda")
        assert epoch(network, read, "fp32", device) == TRAINING


def test_states_beside_the_device_are_sent_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("vqt")
    with pretended(monkeypatch) as device:
        read = stored(network, "cpu")
        found = epoch(network, read, "fp32", device)
        assert found == TRAINING | {
            "_to_copy": 1 + len(network.required_states)
        }  # the order of the labels alone, and the states


def test_a_batch_is_mixed_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    network, mix = network_of("lora"), Mix(Mixing(0.8, 1.0, 0.1), CLASSES)
    with pretended(monkeypatch) as device:
        network.to(CUDA)
        normalise, pixels = normaliser(), split(CUDA)
        device.crossings.clear()
        images, shares = mix(pixels.images, pixels.labels, 0, 0)
        loss_of(network, network(normalise(images)), shares).backward()
        assert not device.crossings


def stored(network: Network, place: str) -> Stored:
    """The split as states that are kept at a place."""
    network.to(CUDA).eval()
    pixels, normalise = split(CUDA), normaliser()
    with torch.no_grad():
        states = network.hidden_states(normalise(pixels.images))
    images = pixels.images if states.pop(IMAGES, None) is not None else None
    return Stored(
        Rows({name: state.to(place) for name, state in states.items()}, CUDA, images, normalise), pixels.labels
    )


TABLE = torch.zeros(24)
WRONG: dict[str, Callable[[Tensor], Tensor]] = {
    "made on the host": lambda x: x + torch.zeros(x.shape[-1]),
    "not registered": lambda x: x + TABLE,
    "asked": lambda x: x * x.abs().max().item(),
    "looked at": lambda x: x if (x == x).all() else -x,
    "sent": lambda x: x + torch.arange(x.shape[-1]).to(x.device),
    "fetched": lambda x: x + x.mean().cpu().to(x.device),
    "indexed from the host": lambda x: x + x[:, torch.zeros(1, dtype=torch.int64)],
    "picked by a mask": lambda x: x + x[x > 0].sum(),
    "drawn by the host's generator": lambda x: x + torch.randn(x.shape, generator=torch.Generator(), device=x.device),
}


class Layer(nn.Module):
    """A layer that does what it should not."""

    def __init__(self, wrong: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, x: Tensor) -> Tensor:
        return self.wrong(x)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_planted_defect_shows(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("linear")
    network.vit.head_drop = Layer(WRONG[wrong])
    with pretended(monkeypatch) as device:
        network.to(CUDA)
        with pytest.raises((RuntimeError, AssertionError, DynamicOutputShapeException)):
            assert epoch(network, split(CUDA), "fp32", device) == TRAINING


class Wrong(torch.autograd.Function):
    """Makes its gradient on the host."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return torch.zeros(gradients[0].shape)


def test_a_gradient_made_on_the_host_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("full")
    network.vit.head_drop = Layer(Wrong.apply)
    with pretended(monkeypatch) as device:
        network.to(CUDA)
        with pytest.raises(RuntimeError, match="gradient on cpu"):
            epoch(network, split(CUDA), "fp32", device)


@pytest.mark.parametrize("spec", ["convpass", "dtl", "ssf", "synqt", "head2toe"])
def test_gradients_are_those_of_the_engine(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backward pass that stands in for it, on real tensors."""
    images, labels = batch()
    found = []
    for way in (torch.autograd._engine_run_backward, backward):
        monkeypatch.setattr("torch.autograd._engine_run_backward", way)
        network = network_of(spec)
        disturb(network)
        torch.manual_seed(0)
        loss_of(network, network(images), labels).backward()
        found.append([tensor.grad for tensor in learning(network)])
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)
