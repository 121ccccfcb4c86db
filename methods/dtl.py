"""DTL and DTL+ read every block through low-rank maps into a side path and write back from block M on.

Source: "DTL: Disentangled Transfer Learning for Visual Recognition" (Fu et al., AAAI 2024; docs/methods/dtl.md). With
z_i (B×N×D) what block i reads, blocks counted from 1:

    code_i = z_i A_iᵀ (B×N×rank)    s_i = Σ_{j ≤ i} code_j B_jᵀ    z_{i+1} = Block_i(z_i) + [i ≥ M] T(s_i)

T(s) = s·sigmoid(β·s); in DTL+ one depthwise k×k convolution of the patches follows. Blocks 1..M get no graph: what they
read and what block M wrote is extracted. States are not kept but made again from the codes in the backward pass.
A hierarchical backbone (Swin) begins a new state in every stage, and has a kernel for every stage, used or not. A
backbone that pools by attention (SigLIP) keeps its own pooling.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from methods.backbones.chain import HIERARCHICAL, KINDS, Link, Vit, chain_of, pool
from methods.base import BackboneNetwork, Method, Network
from methods.settings import Count, Layer, Positive
from methods.states import written

ByBlock = dict[str, Tensor]  # blocks by index, as text, since modules in a table go by text


class Read(nn.Module):
    """Reads one block's input: `down` (A) makes the code, `up` (B, zero at first) the block's part of the state."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)  # uniform in ±1/√width, the default
        self.up = nn.Linear(rank, width, bias=False)
        nn.init.zeros_(self.up.weight)


def depthwise(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve a map (B×H×W×D) with a k×k kernel per channel (D×1×k×k), as a channels-last image, to the same size."""
    side = weight.shape[-1]
    images = x.permute(0, 3, 1, 2)
    if side % 2 == 0:  # the larger half of the padding is below and on the right
        images = functional.pad(images, (0, 1, 0, 1))
    return functional.conv2d(images, weight, padding=(side - 1) // 2, groups=len(weight)).permute(0, 2, 3, 1)


class Disentangled(BackboneNetwork):
    """A frozen backbone with its side path; `start` is the index of block M, the first whose output changes."""

    def __init__(self, vit: nn.Module, reads: nn.ModuleDict, kernels: nn.ModuleDict, start: int, beta: float) -> None:
        super().__init__(vit)
        self.reads = reads  # by block
        self.kernels = kernels  # by stage; empty without a convolution
        self.start = start
        self.beta = beta
        chain = chain_of(vit)
        below = [i for i in range(start + 1) if str(i) in reads and chain[i].stage == chain[start].stage]
        self.inputs = {str(i): written(_step(chain, i) - 1) for i in below}  # a state ends with its stage
        self.required_states = (*self.inputs.values(), written(_step(chain, start)))

    def features(self, states: Mapping[str, Tensor]) -> tuple[ByBlock, Tensor]:
        """Return what blocks 1..M read, for those that a used state needs, and what block M wrote."""
        return {i: states[name] for i, name in self.inputs.items()}, states[self.required_states[-1]]

    def adapt(self, features: tuple[ByBlock, Tensor]) -> Tensor:
        """Inject into the output of block M, run the later blocks with their injections, pool and classify.

        Inputs are taken out of `features` as they are read: under autocast the backward pass needs but their casts.
        """
        inputs, x = features
        del features
        chain = chain_of(self.vit)
        codes = {i: self.reads[i].down(inputs.pop(i)) for i in list(inputs)}
        x = self._inject(x, codes, chain[self.start])
        for i, link in enumerate(chain[self.start + 1 :], start=self.start + 1):
            if link.downsample is not None:
                x, codes = link.downsample(x), {}
            codes[str(i)] = self.reads[str(i)].down(x)
            x = self._inject(link.run(x), codes, link)
        return self._classify(x)

    def _inject(self, x: Tensor, codes: ByBlock, link: Link) -> Tensor:
        """Add T(s) to a block's output; of what makes it, only the codes and the weights are kept."""
        code = torch.cat(list(codes.values()), dim=-1)
        ups = torch.cat([self.reads[i].up.weight for i in codes], dim=1)
        kernel = self.kernels[str(link.stage)].weight if self.kernels else None
        # The weights take the codes' precision here, because the second time there is no autocast to cast them.
        weights = [w if w is None else w.to(code.dtype) for w in (ups, kernel)]
        return x + checkpoint(self.update, code, *weights, use_reentrant=False, preserve_rng_state=False)

    def update(self, code: Tensor, ups: Tensor, kernel: Tensor | None) -> Tensor:
        """Compute T of the state from the concatenated codes (…×K) and up-projections (D×K)."""
        state = functional.linear(code, ups)
        gated = state * torch.sigmoid(self.beta * state)
        if kernel is None:
            return gated
        if isinstance(self.vit, HIERARCHICAL):
            return depthwise(gated, kernel)
        first = self.vit.num_prefix_tokens  # class and register tokens pass unchanged
        patches = gated[:, first:].unflatten(1, self.vit.patch_embed.grid_size)
        return torch.cat([gated[:, :first], depthwise(patches, kernel).flatten(1, 2)], dim=1)

    def _classify(self, x: Tensor) -> Tensor:
        """Average a plain transformer's patches, without the tokens before them, and then norm; others pool as timm."""
        if isinstance(self.vit, HIERARCHICAL) or getattr(self.vit, "attn_pool", None) is not None:
            return self.head(pool(self.vit, x))
        feature = self.vit.fc_norm(self.vit.norm(x[:, self.vit.num_prefix_tokens :].mean(dim=1)))
        return self.head(self.vit.head_drop(feature))


def _step(chain: list[Link], block: int) -> int:
    """Return the index of a block's step (blocks from 0) among the steps of the backbone; step 0 is the embedding."""
    return 1 + block + sum(link.downsample is not None for link in chain[: block + 1])


class Dtl(Method, name="dtl"):
    """DTL gathers what all blocks read in a low-rank side path and feeds it back from block 7 on.

    Family: side networks
    Paper: Fu et al., AAAI 2024
    Entangled: in part
    Parameters: 36,864 (18,432 · rank)

    The first output is the backbone's with this pooling, since every up-projection starts at zero. Not offered: the
    limits of the gate (ReLU, none) and a kernel per block.

    Settings:
        rank: Rank of the maps that read a block.
        start: The first block whose output receives the side state (M in the paper), counted from 1; 15 on Swin-B.
        beta: Sharpness of the gate s·sigmoid(beta·s); at 100 it is close to ReLU.
        kernel: Side of the depthwise convolution of DTL+; 0 has none.
        read: The first block that is read, counted from 1; 5 on Swin-B, where the authors have rank 4 (90,112
            parameters).
    """

    backbones = KINDS
    rank: Count = 2
    start: Layer = 7
    beta: Positive = 100.0
    kernel: Literal[0] | Count = 0
    read: Layer = 1

    def attach(self, vit: Vit) -> Network:
        """Put the side path beside the frozen backbone."""
        chain = chain_of(vit)
        if self.start > len(chain):
            raise ValueError(f"{self.name}: start={self.start}, but the backbone has {len(chain)} blocks")
        if self.read > self.start:
            raise ValueError(f"{self.name}: read={self.read}, but block {self.start} already needs a state (start)")
        reads = {str(i): Read(link.width, self.rank) for i, link in enumerate(chain) if i >= self.read - 1}
        widths = {str(link.stage): link.width for link in chain} if self.kernel else {}
        kernels = {stage: nn.Conv2d(w, w, self.kernel, groups=w, bias=False) for stage, w in widths.items()}
        return Disentangled(vit, nn.ModuleDict(reads), nn.ModuleDict(kernels), self.start - 1, self.beta)


class DtlPlus(Dtl, name="dtl_plus"):
    """DTL+ is DTL with one depthwise convolution of the patches behind the gate, shared by all blocks.

    Family: side networks
    Paper: Fu et al., AAAI 2024
    Entangled: in part
    Parameters: 43,776 (49,152 and 56,064 at kernel=4 and 5)

    Settings:
        kernel: Side of the convolution; the authors choose 3, 4 or 5 for each task.
    """

    kernel: Count = 3
