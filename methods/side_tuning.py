"""Side-tuning blends the frozen backbone's feature with that of a small network (Zhang et al., ECCV 2020).

The form is that of VPT's code, docs/methods/side_tuning.md.

With f the pooled feature of the frozen backbone (B×D) and g that of a side network on the same normalised images,

    g = projection(AlexNet's convolutions (B×9,216))      logits = head(a·f + (1 − a)·g), a = sigmoid(alpha)

alpha is one scalar that starts at 0, the projection has no bias. No gradient enters the backbone.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import AlexNet_Weights, alexnet

from methods.backbones.chain import PLAIN, Vit
from methods.backbones.weights import WeightsError
from methods.base import BackboneNetwork, Method, Network
from methods.states import IMAGES, POOLED

LEAST = 63  # pixels: AlexNet's three poolings leave nothing of a smaller image


class SideNetwork(nn.Module):
    """Runs AlexNet's convolutions with their pooling to 6×6, and a projection to the backbone's width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        with torch.device("meta"):  # the classifier, 55 million weights, is never made
            self.features = alexnet().features
        self.features.to_empty(device=torch.get_default_device())
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                layer.reset_parameters()
        self.projection = nn.Linear(256 * 6 * 6, width, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        if min(images.shape[-2:]) < LEAST:
            size = [max(side, LEAST) for side in images.shape[-2:]]
            images = functional.interpolate(images, size, mode="bilinear")
        return self.projection(functional.adaptive_avg_pool2d(self.features(images), 6).flatten(1))


class SideTuned(BackboneNetwork):
    """Mixes the features of the frozen backbone and of the side network."""

    required_states = POOLED, IMAGES

    def __init__(self, vit: Vit, side: SideNetwork) -> None:
        super().__init__(vit)
        self.side = side
        self.alpha = nn.Parameter(torch.zeros(()))

    def adapt(self, features: list[Tensor]) -> Tensor:
        """Run the side network, mix the features and classify."""
        feature, images = features
        share = torch.sigmoid(self.alpha)
        return self.head(share * feature + (1 - share) * self.side(images))


class SideTuning(Method, name="side_tuning"):
    """Side-tuning trains a small convolutional network beside the frozen backbone and blends the two features.

    Family: side networks
    Paper: Zhang et al., ECCV 2020
    Entangled: no
    Parameters: 9,547,585 (convolutions 2,469,696, projection 7,077,888, one scalar)

    Deviation: images below 63 pixels, for which AlexNet is not made, are enlarged to 63 for the side network.

    Settings:
        weights: `imagenet` is the source's AlexNet, torchvision's IMAGENET1K_V1: fetched once, or put by hand into the
            folder that the error names. `random` needs no network but is not the published method.
    """

    backbones = PLAIN
    weights: Literal["random", "imagenet"] = "random"

    def attach(self, vit: Vit) -> Network:
        """Put the side network beside the frozen backbone."""
        side = SideNetwork(vit.embed_dim)
        if (
            self.weights == "imagenet" and not side.projection.weight.is_meta
        ):  # a network on the meta device has no weights
            side.features.load_state_dict(_imagenet())
        return SideTuned(vit, side)


def _imagenet() -> dict[str, Tensor]:
    """Load the convolutions of torchvision's pre-trained AlexNet."""
    weights = AlexNet_Weights.IMAGENET1K_V1
    try:
        tensors = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"the weights of AlexNet could not be fetched ({type(error).__name__}); put {weights.url} into "
            f"{torch.hub.get_dir()}/checkpoints, or leave weights=random, with a recipe that does"
        ) from error
    return {key.removeprefix("features."): value for key, value in tensors.items() if key.startswith("features.")}
