"""LayerNorm tuning trains the scales and shifts of the norms (Mai et al., CVPR 2025; docs/methods/layernorm.md)."""

from methods.backbones.chain import PLAIN, Vit
from methods.base import Entangled, Method, Network


class LayerNorm(Method, name="layernorm"):
    """LayerNorm tuning trains the scales and shifts of all norms, the final one too.

    Family: selective tuning
    Paper: Mai et al., CVPR 2025
    Entangled: yes
    Parameters: 38,400

    The forward pass is the backbone's; what is below the first norm is extracted. A frozen norm keeps its input and
    statistics for the backward pass anyway, so the gradients of scale and shift cost nothing more.
    """

    backbones = PLAIN
    starts_as_backbone = True

    def attach(self, vit: Vit) -> Network:
        """Unfreeze every parameter that has "norm" in its name."""
        for name, parameter in vit.named_parameters():
            parameter.requires_grad_(parameter.requires_grad or "norm" in name)
        return Entangled(vit)
