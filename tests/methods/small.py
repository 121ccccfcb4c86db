"""A vision transformer so small that everything about it is instant, and networks made from it.

It has twelve blocks, so that the default settings of every method fit it.
"""

from collections.abc import Iterable

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn

from bench.train.network import build
from methods import METHODS, Network
from methods.backbones.registry import ARCHITECTURES, Backbone
from methods.recipe import Recipe
from methods.spec import parse

SIZE, CLASSES = 32, 5
ARCHITECTURES["small"] = {"img_size": SIZE, "patch_size": 8, "embed_dim": 24, "depth": 12, "num_heads": 3}
SMALL = Backbone("random:small", "small", None, "for tests")
VARIANTS = ["lora:target=qv", "lora:layer=3", "lora:start=normal", "lora:scale=2.0", "partial:blocks=3"]
VARIANTS += ["dtl:start=3:kernel=4", "lst:reduction=4:pool=mean"]
VARIANTS += ["adapter:start=xavier", "adaptformer:bias=false", "convpass:variant=attn", "convpass:conv=identity"]
VARIANTS += ["vqt:tokens=3:pool=weighted", "synqt:tokens=2:scale=fixed", "synqt:kem=trainable"]
VARIANTS += ["head2toe:size=48:class_token=apart"]
VARIANTS += ["unipt:reduction=4", "sherl:reduction=1", "res_tuning_bypass:zero_init_last=true"]
VARIANTS += ["repadapter:variant=attn:groups=4", "lora_fa:target=all", "lora_fa:target=qkv", "apla:rows=24"]
VARIANTS += ["dora:target=qkv", "dora:dropout=0.1", "vera:target=qkv", "vera:shared=per_target:alpha=16.0"]
VARIANTS += ["pvera:shared=all:alpha=1.0", "pvera:kl_divisor=10.0"]
SPECS = [*METHODS, *VARIANTS]  # every method with its default settings, and settings that take other ways through


def network_of(spec: str, seed: int = 0, **recipe: object) -> Network:
    """The small network with the method of `spec`, in training mode; the same seed gives the same network."""
    torch.manual_seed(seed)
    return build(SMALL, parse(spec)[0], CLASSES, Recipe(**recipe)).train()


def plain(seed: int = 0) -> VisionTransformer:
    """The network without a method and without a head, as `network_of` starts from it."""
    torch.manual_seed(seed)
    return SMALL.load()


def batch(count: int = 6, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Random images and labels."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, SIZE, SIZE, generator=random)
    return images, torch.randint(CLASSES, (count,), generator=random)


@torch.no_grad()
def disturb(network: nn.Module, deviation: float = 0.3, seed: int = 2) -> None:
    """Add noise to everything that learns, as if it had been trained; what starts at zero no longer hides."""
    random = torch.Generator().manual_seed(seed)
    for parameter in learning(network):
        noise = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
        parameter.add_(noise.to(parameter.dtype), alpha=deviation)


def learning(network: nn.Module) -> Iterable[nn.Parameter]:
    """The parameters that learn."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
