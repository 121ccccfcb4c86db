"""BitFit trains the biases of all layers (Ben Zaken et al., ACL 2022; "Bias" of VPT; docs/methods/bitfit.md)."""

from methods.backbones.chain import KINDS, Vit
from methods.base import Entangled, Method, Network


class BitFit(Method, name="bitfit"):
    """BitFit trains the biases of all layers and nothing else.

    Family: selective tuning
    Paper: Ben Zaken et al., ACL 2022
    Entangled: yes
    Parameters: 102,912

    The gradient of the key part of each qkv bias is zero up to rounding, since a softmax does not see it.
    """

    backbones = KINDS
    starts_as_backbone = True

    def attach(self, vit: Vit) -> Network:
        """Unfreeze the bias of every layer; some attention layers keep those of queries and values apart."""
        for name, parameter in vit.named_parameters():
            if name.rpartition(".")[2] in ("bias", "q_bias", "v_bias", "mlp_bias"):
                parameter.requires_grad_(True)
        return Entangled(vit)
