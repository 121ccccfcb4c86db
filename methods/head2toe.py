"""Head2Toe trains a linear head on features of all depths, picked by a group lasso (Evci et al., ICML 2022).

Groups (ViT-B/16: N×768, mlp_1 N×3072): embedded patches with the class token; the same with
positions; of each block LN1's output, the attention's and the MLP's before their residual sums, and the MLP's hidden
layer after GELU; the final norm's output; the pooled feature that the head of the backbone reads. (The source's
`cls_embedded` equals the last one with these taps and is left out.) Each is pooled over tokens to at most about
`size` numbers, divided by its L2 norm and laid side by side: 67,584 features at size 768.

Stage 1 trains a linear head W on all of them with `penalty`·Σ_j ‖W_j‖₂; the `fraction` with the largest ‖W_j‖₂ stays.
Stage 2 trains a fresh head on these, gathered before the norm of each group. See docs/methods/head2toe.md.

The batches of an epoch come in the order of the first one, as in the source, under the recipe `paper`. Deviations: the
loss of a last partial batch is a mean like any other (the source divides by the full batch size);
Adam adds its epsilon after the bias correction (TensorFlow before, which moves stage-1 weights by 4e-4 to 4e-3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from timm.layers import Mlp
from timm.models import VisionTransformer
from torch import nn

from methods.base import Method, Network, Unsupported
from methods.parts.queries import check_blocks
from methods.parts.selection import Probe, Share, strongest
from methods.parts.taps import ClassToken, Taps
from methods.settings import Count, Range
from methods.vpt import check_class_token


class Head2Toe(Method, name="head2toe"):
    """Head2Toe trains a linear head on features of every depth of the frozen backbone, which a group lasso picks.

    Family: intermediate features
    Paper: Evci et al., ICML 2022
    Entangled: no
    Parameters: 0 (the head has 675,900 for 100 classes)

    Settings:
        size: Numbers, at most about, to which each group of features is pooled.
        fraction: Share of the features that stays for the second head.
        penalty: Weight of the group lasso in the first stage.
        class_token: Whether the class token of each sequence is `pooled` with the patches, kept `apart`, or the `only`
            token that is taken.
    """

    size: Count = 768
    fraction: Share = 0.1
    penalty: Annotated[float, Range(0.0)] = 1e-4
    class_token: ClassToken = "pooled"

    def attach(self, vit: VisionTransformer) -> Network:
        """Build the network that taps the backbone and has a head on all features, which scores them."""
        check_blocks(vit)
        check_class_token(vit)
        if not all(type(block.mlp) is Mlp for block in vit.blocks):
            raise Unsupported("needs MLPs of two layers")
        head = vit.get_classifier()
        vit.reset_classifier(0)
        taps = Taps(vit, self.size, self.class_token)
        return Probe(taps, _head(sum(taps.counts), head), self.penalty)

    def stages(self, network: Network) -> Iterator[Network]:
        """Yield the head on all features, then a fresh head on the strongest of them."""
        assert isinstance(network, Probe)
        assert isinstance(network.source, Taps)
        yield network
        selected = strongest(network.head.weight, self.fraction)
        network.source.narrow(selected)
        yield Probe(network.source, _head(len(selected), network.head))


def _head(features: int, like: nn.Linear) -> nn.Linear:
    """Make a fresh head with the classes of `like`: Glorot uniform, its bias at zero."""
    head = nn.Linear(features, like.out_features, device=like.weight.device, dtype=like.weight.dtype)
    nn.init.xavier_uniform_(head.weight)
    nn.init.zeros_(head.bias)
    return head
