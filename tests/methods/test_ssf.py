"""Scale and shift: where they stand, how they start, what the merged network is."""

import pytest
import torch
from timm.models import VisionTransformer
from torch import nn

from methods import Unsupported
from methods.spec import parse
from methods.ssf import Scaled
from tests.methods.small import batch, disturb, network_of, plain


def test_every_layer_but_the_head_has_its_own() -> None:
    vit = network_of("ssf").vit
    assert sum(isinstance(module, Scaled) for module in vit.modules()) == 2 + 6 * 12
    assert type(vit.head) is nn.Linear


def test_scales_start_near_one_and_shifts_near_zero() -> None:
    parameters = dict(network_of("ssf").named_parameters())
    for word, mean in (("scale", 1.0), ("shift", 0.0)):
        values = torch.cat([value.detach() for name, value in parameters.items() if name.endswith(word)])
        assert values.mean().item() == pytest.approx(mean, abs=2e-3)
        assert values.std().item() == pytest.approx(0.02, rel=0.05)


def test_merged_weights_in_training_are_the_layer_and_then_the_scale() -> None:
    network = network_of("ssf").double()
    disturb(network)
    images = batch()[0].double()
    for name, x in (("patch_embed.proj", images), ("blocks.3.block.norm1", torch.randn(2, 17, 24).double())):
        layer = network.vit.get_submodule(name)
        output = layer.frozen(x)
        shape = (-1, 1, 1) if output.ndim == 4 else (-1,)
        expected = output * layer.affine.scale.view(shape) + layer.affine.shift.view(shape)
        torch.testing.assert_close(layer(x), expected, rtol=1e-11, atol=1e-12)


def test_folding_leaves_the_architecture_of_the_backbone() -> None:
    merged = parse("ssf")[0].merge(network_of("ssf"))
    names = {name: value.shape for name, value in merged.vit.state_dict().items() if not name.startswith("head")}
    assert names == {name: value.shape for name, value in plain().state_dict().items()}


def test_needs_layers_with_weights() -> None:
    vit = VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=1, num_heads=3)
    vit.blocks[0].norm1 = nn.LayerNorm(24, elementwise_affine=False)
    with pytest.raises(Unsupported, match="needs a linear layer, layer norm or convolution with weights as norm1"):
        parse("ssf")[0].attach(vit)
