"""Makes the embedded checkpoint: a small ViT that learns to read the recipe of pictures drawn by formula.

python -m tools.pretrain --minutes 30 --out methods/weights/demo.safetensors

The file that is shipped was made when Muon's products were in fp32; torch's are in bfloat16, so that the same call
gives other weights (over the first 50 steps the mean losses agree to three digits).
"""

import argparse
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Generator, Tensor, nn
from torch.nn import functional

from datasets.demo.formulas import Bank, draw_bank
from datasets.demo.pictures import compose, label_sizes

__all__ = ["ARCHITECTURE", "Outcome", "network", "pretrain", "write_weights"]

ARCHITECTURE: dict[str, Any] = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 96,
    "depth": 12,
    "num_heads": 3,
    "mlp_ratio": 4,
}
CPU = torch.device("cpu")
PARTS = ("figure", "ground", "ink", "paper")
WEIGHTS = (1.0, 0.5, 0.25, 0.25)  # of the parts: the figure is what is hard to see
BATCH, WARM = 128, 0.05
RATE, MATRIX_RATE = 2e-3, 0.02
DECAY, MATRIX_DECAY = 0.03, 0.02
EASY = (0.9, 0.2)  # share of white figures on black at the start and at the end


@dataclass(frozen=True)
class Outcome:
    """What pre-training gave: the weights without the head, and how it went."""

    weights: dict[str, Tensor]
    seconds: float
    steps: int
    accuracy: tuple[float, ...]


def network(classes: int) -> VisionTransformer:
    """Build timm's own vision transformer in the size of the demo."""
    return VisionTransformer(**ARCHITECTURE, num_classes=classes)


def pretrain(
    bank: Bank, seed: int, seconds: float = math.inf, steps: float = math.inf, device: torch.device = CPU
) -> Outcome:
    """Train until the time or the steps are used up; the schedule follows the share of them that has passed.

    On another device than a CPU pictures are composed there too, from its own random numbers.
    """
    torch.manual_seed(seed)
    random = torch.Generator(device).manual_seed(seed)
    bank, sizes = bank.to(device), label_sizes(bank)
    net = _started(network(sum(sizes))).to(device)
    optimizers = _optimizers(net)
    start, step, done = time.perf_counter(), 0, 0.0
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()) as bar:
        row = bar.add_task("pre-training", total=1.0)
        while done < 1:
            easy = EASY[0] + (EASY[1] - EASY[0]) * done
            loss = _step(net, optimizers, _schedule(done), compose(bank, BATCH, 32, easy, random), sizes)
            step += 1
            done = max((time.perf_counter() - start) / seconds, step / steps)
            if step % 100 == 0:
                bar.update(row, completed=done, description=f"step {step}, loss {loss.item():.3f}")
    weights = {name: value.cpu() for name, value in net.state_dict().items() if not name.startswith("head.")}
    return Outcome(weights, time.perf_counter() - start, step, _accuracy(net, bank, sizes, random))


def _started(net: VisionTransformer) -> VisionTransformer:
    """Start wider than timm does: its 0.02 suits a width of 768 and leaves one of 96 asleep for long."""
    for layer in net.blocks.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
    return net


def _optimizers(net: VisionTransformer) -> tuple[torch.optim.Optimizer, ...]:
    """Give AdamW for the net, but Muon (Jordan et al., 2024) for the matrices of its blocks."""
    matrices = [weight for weight in net.blocks.parameters() if weight.ndim == 2]
    apart = {id(matrix) for matrix in matrices}
    rest = [weight for weight in net.parameters() if id(weight) not in apart]
    muon = torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=MATRIX_DECAY)
    return torch.optim.AdamW(rest, lr=RATE, weight_decay=DECAY, fused=True), muon


def _schedule(done: float) -> float:
    """A short linear warm-up, then half a cosine to zero."""
    rest = max(0.0, done - WARM) / (1 - WARM)
    return min(1.0, done / WARM + 0.01) * 0.5 * (1 + math.cos(math.pi * rest))


def _step(
    net: VisionTransformer,
    optimizers: Iterable[torch.optim.Optimizer],
    share: float,
    batch: tuple[Tensor, Tensor],
    sizes: tuple[int, ...],
) -> Tensor:
    pictures, labels = batch
    parts = net((pictures - 0.5) / 0.5).split(sizes, 1)
    terms = zip(WEIGHTS, parts, labels.unbind(1), strict=True)
    loss = torch.stack([weight * functional.cross_entropy(part, label) for weight, part, label in terms]).sum()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = share * optimizer.defaults["lr"]
        optimizer.step()
        optimizer.zero_grad()
    return loss.detach()


@torch.no_grad()
def _accuracy(net: VisionTransformer, bank: Bank, sizes: tuple[int, ...], random: Generator) -> tuple[float, ...]:
    """Measure, on new pictures, the share of each part of the label that is read rightly."""
    net.eval()
    right, seen = torch.zeros(2, len(sizes), device=random.device)
    for _ in range(20):
        pictures, labels = compose(bank, BATCH, 32, EASY[1], random)
        guesses = torch.stack([part.argmax(1) for part in net((pictures - 0.5) / 0.5).split(sizes, 1)], 1)
        right += (guesses == labels).sum(0)
        seen += (labels >= 0).sum(0)
    return tuple((right / seen).tolist())


def write_weights(outcome: Outcome, path: Path, made_by: str) -> None:
    """Write the weights in half precision with the story of how they were made."""
    scores = zip(PARTS, outcome.accuracy, strict=True)
    story = {
        "architecture": f"timm VisionTransformer {ARCHITECTURE}, class token, eps 1e-6, no head",
        "made_by": made_by,
        "data": "pictures by formula (datasets/demo/formulas.py, datasets/demo/pictures.py); no collected image",
        "mean_std": "0.5 0.5",
        "seconds": f"{outcome.seconds:.0f}",
        "steps": str(outcome.steps),
        "images_seen": str(outcome.steps * BATCH),
        "accuracy": ", ".join(f"{part} {share:.3f}" for part, share in scores),
        "torch": torch.__version__,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp")
    save_file({name: value.half().contiguous() for name, value in outcome.weights.items()}, partial, story)
    partial.replace(path)


def main() -> None:
    """Read the command line, pre-train, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--steps", type=float, default=math.inf, help="stop here even if there is time left")
    parser.add_argument("--out", type=Path, default=Path("methods/weights/demo.safetensors"))
    parser.add_argument("--kinds", type=int, default=100, help="categories per family of formulas")
    parser.add_argument("--each", type=int, default=300, help="pre-rendered instances of a category")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", type=torch.device, default=CPU)
    options = parser.parse_args()
    bank = draw_bank(options.kinds, options.each, options.seed)
    outcome = pretrain(bank, options.seed, options.minutes * 60, options.steps, options.device)
    words = f"--steps {outcome.steps} --kinds {options.kinds} --each {options.each} --seed {options.seed}"
    words += "" if options.device == CPU else f" --device {options.device}"
    write_weights(outcome, options.out, f"python -m tools.pretrain --minutes inf {words}")


if __name__ == "__main__":
    main()
