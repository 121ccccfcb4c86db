"""Golden cases of the options that cut what is kept: the plain network of a case with the options on."""

import json
from typing import Any

import torch
from torch import nn

from methods import Network
from methods.backbones.registry import prepare
from methods.parts.activations import Activations, Velora, keep_less
from methods.spec import parse
from tests.methods.golden import FOLDER, Case, filled, put, vit_of

FILES = ("regelu2", "velora")


class OptionCase(Case):
    """A case whose method is full fine-tuning or BitFit, changed by options after its tensors were filled in."""

    @property
    def config(self) -> dict[str, Any]:
        return self.values["config"]

    def activations(self) -> Activations:
        """The options of the case."""
        if self.file == "regelu2":
            return Activations(regelu2=True, ms_ln=self.config["ms_ln"])
        groups, scale = self.config["groups"], self.config["scale"]
        return Activations(velora=tuple(Velora((layer,), groups[layer], scale) for layer in self.config["layers"]))

    def network(self) -> Network:
        """In training mode, in which VeLoRA is on; nothing in it is random."""
        vit = prepare(vit_of(self.config), self.config["classes"], "linear", 0.0, 0.0)
        method = "bitfit" if self.config.get("trainable") == "bias" else "full"
        network = parse(method)[0].attach(vit).double()
        parts = self.parts(network)
        for tensor in self.values["tensors"]:
            put(filled(tensor, self.frequency), parts[tensor["name"]])
        keep_less(network, self.activations())
        return network.train()

    def parts(self, network: Network) -> dict[str, list[nn.Parameter]]:
        """Our parameters by golden name."""
        return {name.removeprefix("vit."): [parameter] for name, parameter in network.named_parameters()}


def option_cases() -> list[OptionCase]:
    """Every case of the files."""
    files = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in FILES}
    return [OptionCase(name, file["frequency"], case) for name, file in files.items() for case in file["cases"]]


def directions(network: Network) -> dict[str, torch.Tensor]:
    """VeLoRA's directions by layer."""
    return {
        name.removeprefix("vit.").removesuffix(".direction"): tensor
        for name, tensor in network.named_buffers()
        if name.endswith(".direction")
    }
