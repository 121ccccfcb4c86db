"""Defines what a method is: a frozen value with its settings, which makes a network split into extract and adapt."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, dataclass_transform

import torch
from timm.models import Beit, Eva, SwinTransformer, SwinTransformerV2, VisionTransformer
from torch import Tensor, nn

from methods.backbones.chain import Step, Vit, leading_frozen, steps_of
from methods.settings import check, hints_of
from methods.states import IMAGES, hidden_states, named_steps

__all__ = [
    "METHODS", "BackboneNetwork", "Entangled", "Method", "Network", "SideNetwork", "Unsupported", "written",
]  # fmt: skip

METHODS: dict[str, type[Method]] = {}  # filled as the files of this folder are imported
KINDS = {
    VisionTransformer: "plain vision transformers",
    Eva: "Eva (EVA-02, DINOv3)",
    Beit: "BEiT",
    SwinTransformer: "Swin",
    SwinTransformerV2: "Swin V2",
}


class Unsupported(Exception):
    """The backbone cannot carry the method; the message is the reason, and the run is recorded with it."""


class Network(nn.Module):
    """A network whose forward pass is `adapt` after `extract`; only `adapt` builds a graph.

    Subclasses have a `head`, the trainable classifier, whose parameters the papers leave out of their counts.
    Those that name the states of the backbone they read (`required_states`, methods/states.py), and make features of
    them, let a run compute the states once: `features(hidden_states(images))` is `extract(images)`.
    """

    head: nn.Module
    lr_scale: float = 1.0  # share of the recipe's learning rate at which it is trained
    required_states: tuple[str, ...] = (IMAGES,)  # names of the states that `features` reads
    printed_extra: int = 0  # scalars in the source's printed count that its code registers and never uses

    def extract(self, images: Tensor) -> Any:
        """Return frozen features of normalised images (B×3×H×W); in evaluation mode always the same for an image."""
        raise NotImplementedError

    def hidden_states(self, images: Tensor) -> dict[str, Tensor]:
        """Return the states in `required_states` of normalised images, by name: what may be kept of an image."""
        return {IMAGES: images}

    def features(self, states: Mapping[str, Tensor]) -> Any:
        """Return what `extract` returns, from the states in `required_states`; cheap, and may be random in training."""
        return self.extract(states[IMAGES])

    def adapt(self, features: Any) -> Tensor:
        """Compute logits (B×classes) from what `extract` returned; every gradient passes through this alone."""
        raise NotImplementedError

    def regularization_loss(self) -> Tensor | None:
        """Return a term for the loss of every batch, where the paper has one; else None."""
        return None

    def weighed(self, features: Any) -> Tensor | None:
        """Return the weight that each image gives each feature (B×F), where the paper shows them; else None."""
        return None

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (B×classes) of normalised images (B×3×H×W)."""
        return self.adapt(self.extract(images))


class BackboneNetwork(Network):
    """A network around the vision transformer `vit`: it reads states of it by name, and its head is the classifier."""

    def __init__(self, vit: Vit) -> None:
        super().__init__()
        self.vit = vit

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        """The trainable classifier."""
        return self.vit.get_classifier()

    def extract(self, images: Tensor) -> Any:
        """Return the features of normalised images (B×3×H×W)."""
        return self.features(self.hidden_states(images))

    def hidden_states(self, images: Tensor) -> dict[str, Tensor]:
        """Return the states in `required_states`, as the steps of the backbone compute them."""
        return hidden_states(self.vit, images, self.required_states)

    def features(self, states: Mapping[str, Tensor]) -> Any:
        """Return the states as a list, in the order of `required_states`."""
        return [states[name] for name in self.required_states]


class SideNetwork(BackboneNetwork):
    """A network that learns beside the frozen backbone, which stays in evaluation mode."""

    def train(self, mode: bool = True) -> Network:
        """Set the mode of the side network alone."""
        super().train(mode)
        self.vit.eval()
        return self


class Entangled(BackboneNetwork):
    """A vision transformer whose own steps were changed: the leading steps that learn nothing are `extract`.

    Tune block k only and patch embedding and blocks 1..k-1 are extracted; tune the head only and everything is.
    """

    def __init__(self, vit: Vit) -> None:
        super().__init__(vit)
        steps = self._steps()
        self.frozen_steps = leading_frozen(steps)
        self.required_states = ((IMAGES, *named_steps(steps))[self.frozen_steps],)

    def _steps(self) -> list[Step]:
        return steps_of(self.vit)

    def features(self, states: Mapping[str, Tensor]) -> Tensor:
        """Return the output of the last step below everything that learns; the images if there is none."""
        return states[self.required_states[0]]

    def adapt(self, features: Tensor) -> Tensor:
        """Run the remaining steps."""
        for step in self._steps()[self.frozen_steps :]:
            features = step.run(features)
        return features


@dataclass_transform(frozen_default=True)
@dataclasses.dataclass(frozen=True)
class Method:
    """The base class of methods: `class Lora(Method, name="lora")` with annotated settings such as `rank: Count = 8`.

    The subclass becomes a frozen dataclass, is entered into METHODS and checks its settings when made
    (ValueError names the setting). `str(method)` is its spec, e.g. "lora:rank=4".
    """

    name: ClassVar[str]
    backbones: ClassVar[tuple[type[nn.Module], ...]] = (VisionTransformer,)  # kinds of network it can change
    starts_as_backbone: ClassVar[bool] = False  # a fresh network gives the backbone's output; held to it by a test
    space: ClassVar[Mapping[str, str]] = {}  # what the default search tries (methods/search_space.py)
    explicit_settings: ClassVar[frozenset[str]] = frozenset()  # that a spec wrote out, also where they are the default

    def __init_subclass__(cls, name: str, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if name in METHODS:
            raise TypeError(f"two methods are called {name!r}: {METHODS[name].__module__} and {cls.__module__}")
        cls.name = name
        METHODS[name] = dataclasses.dataclass(frozen=True)(cls)

    def __post_init__(self) -> None:
        hints = hints_of(type(self))
        for setting in dataclasses.fields(self):
            try:
                value = check(hints[setting.name], getattr(self, setting.name))
            except ValueError as error:
                raise ValueError(f"{self.name}: {setting.name}={error}") from None
            object.__setattr__(self, setting.name, value)

    def check_kind(self, vit: nn.Module) -> None:
        """Raise Unsupported where the method is not made for networks of this kind."""
        if not isinstance(vit, self.backbones):
            made_for = [words for kind, words in KINDS.items() if kind in self.backbones]
            other = next((words for kind, words in KINDS.items() if isinstance(vit, kind)), type(vit).__name__)
            raise Unsupported(f"is made for {', '.join(made_for)}, not for {other}")

    def attach(self, vit: VisionTransformer) -> Network:
        """Build the network around a frozen `vit` with a fresh trainable head; `vit` is used up.

        Raises Unsupported when the backbone lacks what the method needs, ValueError when a setting does not fit it.
        """
        raise NotImplementedError

    @torch.no_grad()
    def merge(self, network: Network) -> Network:
        """Return an equal network that is cheaper at inference, where the paper has one; else the network itself.

        A layer that has `merged` gives way to what that returns, inner layers first. `network` is used up.
        """
        for owner in reversed(list(network.modules())):
            for name, layer in list(owner.named_children()):
                if hasattr(layer, "merged"):
                    setattr(owner, name, layer.merged())
        return network

    def stages(self, network: Network) -> Iterator[Network]:
        """Yield the networks to train one after another, where the paper trains more than once; else the network alone.

        Each is trained for all epochs of the recipe before the next is asked for, and may be made from the one
        before, on the same device. The last one is tested; cost and counts are those of the first.
        """
        yield network

    def __str__(self) -> str:
        changed = [f for f in dataclasses.fields(self) if getattr(self, f.name) != f.default]
        return ":".join([self.name, *(f"{f.name}={written(getattr(self, f.name))}" for f in changed)])


def written(value: Any) -> str:
    """Write a setting as a spec does; `methods.settings.parse` reads it back."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
