"""Side-Tuning: the mixture, what learns, and where AlexNet comes from."""

import math
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.models import AlexNet_Weights

from methods.backbones.chain import embed, pool
from methods.backbones.weights import WeightsError
from methods.side_tuning import SideNetwork
from methods.spec import parse
from tests.methods.small import batch, network_of, plain


def test_the_feature_is_mixed_with_that_of_the_side_network() -> None:
    network = network_of("side_tuning").double().eval()
    network.alpha.data.fill_(0.7)
    images, vit = batch()[0].double(), plain().double().eval()
    feature = pool(vit, vit.blocks(embed(vit, images)))
    share = 1 / (1 + math.exp(-0.7))
    expected = network.head(share * feature + (1 - share) * network.side(images))
    torch.testing.assert_close(network(images), expected, rtol=1e-10, atol=1e-12)


def test_both_have_the_same_share_at_first() -> None:
    assert torch.sigmoid(network_of("side_tuning").alpha) == 0.5


@pytest.mark.parametrize("size", [63, 100])
def test_the_side_network_is_torchvisions(size: int) -> None:
    side, images = SideNetwork(7), torch.randn(2, 3, size, size)
    with torch.device("meta"):
        whole = torchvision.models.alexnet()
    whole.features.to_empty(device="cpu").load_state_dict(side.features.state_dict())
    whole.classifier = nn.Identity()
    assert torch.allclose(side(images), functional.linear(whole(images), side.projection.weight), atol=1e-6)


def test_small_images_are_enlarged() -> None:
    side, images = SideNetwork(7), torch.randn(2, 3, 32, 80)
    larger = functional.interpolate(images, (63, 80), mode="bilinear")
    assert torch.equal(side(images), side(larger))


def test_pretrained_convolutions_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        f"features.{key}": torch.full_like(value, 0.1) for key, value in SideNetwork(7).features.state_dict().items()
    }
    given["classifier.1.weight"] = torch.zeros(1)
    monkeypatch.setattr(AlexNet_Weights, "get_state_dict", lambda *_, **__: given)
    side = parse("side_tuning:weights=imagenet")[0].attach(plain()).side
    assert all((value == 0.1).all() for value in side.features.parameters())


def test_weights_that_cannot_be_had_say_where_to_put_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(AlexNet_Weights, "get_state_dict", fail)
    with pytest.raises(
        WeightsError, match=r"AlexNet could not be fetched \(OSError\); put https://.*pth into .*checkpoints"
    ):
        parse("side_tuning:weights=imagenet")[0].attach(plain())
