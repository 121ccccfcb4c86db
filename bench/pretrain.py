"""Makes the embedded checkpoint: a small ViT that learns to read the recipe of pictures drawn by formula.

python -m bench.pretrain --minutes 30 --out methods/weights/demo.safetensors
"""

import argparse
import math
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional

from datasets.formulas import Bank, draw_bank
from datasets.pictures import compose, label_sizes

__all__ = ["ARCHITECTURE", "Outcome", "network", "pretrain", "write_weights"]

ARCHITECTURE = {"img_size": 32, "patch_size": 8, "embed_dim": 96, "depth": 12, "num_heads": 3, "mlp_ratio": 4}
WEIGHTS = (1.0, 0.5, 0.25, 0.25)  # of the parts of the label: the figure is what is hard to see
BATCH, RATE, DECAY, WARM = 128, 1.5e-3, 0.05, 0.05


@dataclass(frozen=True)
class Outcome:
    """What pre-training gave: the weights without the head, and how it went."""

    weights: dict[str, Tensor]
    seconds: float
    images: int
    accuracy: tuple[float, ...]


def network(classes: int) -> VisionTransformer:
    """Build timm's own vision transformer in the size of the demo."""
    return VisionTransformer(**ARCHITECTURE, num_classes=classes)


def pretrain(bank: Bank, seconds: float, seed: int, max_steps: int | None = None) -> Outcome:
    """Train until the time is over; the schedule follows the share of it that has passed."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    sizes = label_sizes(bank)
    net = network(sum(sizes))
    decayed = [[p for p in net.parameters() if (p.ndim > 1) is many] for many in (True, False)]
    groups = [{"params": decayed[0], "weight_decay": DECAY}, {"params": decayed[1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, fused=True)
    start, step, done = time.perf_counter(), 0, 0.0
    with Progress("{task.description}", BarColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn()) as bar:
        row = bar.add_task("pre-training", total=1.0, loss="")
        while done < 1:
            for group in optimizer.param_groups:
                group["lr"] = RATE * _schedule(done)
            loss = _step(net, optimizer, *compose(bank, BATCH, 32, random), sizes)
            step += 1
            passed = time.perf_counter() - start
            done = max(passed / seconds, step / max_steps if max_steps else 0.0)
            if step % 20 == 0 or done >= 1:
                bar.update(row, completed=done, loss=f"step {step}, loss {loss.item():.3f}")
    weights = {name: value for name, value in net.state_dict().items() if not name.startswith("head.")}
    return Outcome(weights, time.perf_counter() - start, step * BATCH, _accuracy(net, bank, sizes, random))


def _schedule(done: float) -> float:
    """A short linear warm-up, then half a cosine to zero."""
    if done < WARM:
        return max(done / WARM, 0.01)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (done - WARM) / (1 - WARM))))


def _step(
    net: VisionTransformer, optimizer: torch.optim.Optimizer, pictures: Tensor, labels: Tensor, sizes: tuple[int, ...]
) -> Tensor:
    parts = net((pictures - 0.5) / 0.5).split(sizes, 1)
    terms = zip(WEIGHTS, parts, labels.unbind(1), strict=True)
    loss = torch.stack([weight * functional.cross_entropy(part, label) for weight, part, label in terms]).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


@torch.no_grad()
def _accuracy(
    net: VisionTransformer, bank: Bank, sizes: tuple[int, ...], random: torch.Generator, batches: int = 20
) -> tuple[float, ...]:
    """Measure, on pictures not seen before, the share of each part of the label that is read rightly."""
    net.eval()
    right, seen = torch.zeros(len(sizes)), torch.zeros(len(sizes))
    for _ in range(batches):
        pictures, labels = compose(bank, BATCH, 32, random)
        guesses = torch.stack([part.argmax(1) for part in net((pictures - 0.5) / 0.5).split(sizes, 1)], 1)
        right += (guesses == labels).sum(0)
        seen += (labels >= 0).sum(0)
    return tuple((right / seen).tolist())


def write_weights(outcome: Outcome, path: Path, made_by: str) -> None:
    """Write the weights in half precision with the story of how they were made."""
    story = {
        "architecture": f"timm VisionTransformer {ARCHITECTURE}, class token, eps 1e-6, no head",
        "made_by": made_by,
        "data": "procedural pictures: figures and grounds by formula (datasets/formulas.py); no collected image",
        "mean_std": "0.5 0.5",
        "seconds": f"{outcome.seconds:.0f}",
        "images_seen": str(outcome.images),
        "accuracy": ", ".join(
            f"{part} {share:.3f}"
            for part, share in zip(("figure", "ground", "ink", "paper"), outcome.accuracy, strict=True)
        ),
        "torch": torch.__version__,
    }
    data = save({name: value.half().contiguous() for name, value in outcome.weights.items()}, story)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)


def main() -> None:
    """Read the command line, pre-train, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=Path("methods/weights/demo.safetensors"))
    parser.add_argument("--kinds", type=int, default=100, help="categories per family of formulas")
    parser.add_argument("--each", type=int, default=300, help="pre-rendered instances of a category")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bank = draw_bank(options.kinds, options.each, options.seed)
    outcome = pretrain(bank, options.minutes * 60, options.seed)
    words = f"python -m bench.pretrain --minutes {options.minutes:g} --kinds {options.kinds}"
    write_weights(outcome, options.out, f"{words} --each {options.each} --seed {options.seed}")


if __name__ == "__main__":
    main()
