"""Speed: images per second, model FLOPs utilisation and joules per image of every method, and what it is held to."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from bench.cost.case import Case
from bench.cost.energy import joules
from bench.cost.flops import utilisation
from bench.cost.measure import Timing, timed, training_step
from bench.cost.plan import plan
from bench.data.batches import Normaliser
from bench.train.loop import train
from bench.train.network import build
from bench.train.step import autocast
from datasets.base import Split
from methods import Unsupported
from methods.backbones.registry import build as as_timm_builds
from methods.recipe import Recipe
from methods.spec import parse
from tools.gpu.session import Row, Session

__all__ = ["measure_loop", "measure_speed"]

WARMUP = 5
ENERGY_SECONDS = 1.0  # of training between two readings of a counter that moves every tenth of a second
LOOP_METHOD = "lora"


def measure_speed(session: Session) -> None:
    """Timm's own forward pass, full fine-tuning compiled, then every method; saved one by one."""
    rows: list[Row] = []

    def keep(row: Row) -> None:
        rows.append(row)
        session.save("speed", rows)
        session.say(_line(row))

    with session.guarded("speed", "timm"):
        keep(_timm(session))
    with session.guarded("speed", "full, compiled"):
        keep(_of(session, _case(session, "full"), compiled=True))
    for method in session.methods:
        if session.left <= 0:
            return
        with session.guarded("speed", str(method)):
            keep(_of(session, _case(session, str(method)), compiled=False))


def measure_loop(session: Session) -> None:
    """The bench's training loop against one written by hand, the same network and images, in turn."""
    case = _case(session, LOOP_METHOD)
    recipe = dataclasses.replace(case.recipe, epochs=1, warmup_epochs=0, schedule="warmup_cosine")
    count, size, device = recipe.batch_size * max(2, session.sizes.steps // 2), case.image_size, session.device
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, device=device)
    split = Split(images, torch.randint(case.classes, (count,), device=device))
    network = build(dataclasses.replace(case.backbone, weights=None), case.method, case.classes, recipe).to(device)
    normalise = Normaliser.of(*case.backbone.statistics, device)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], fused=True)

    def ours() -> None:
        train(network, split, normalise, recipe, 0, lambda _: None)

    def bare() -> None:
        network.train()
        for chosen in torch.randperm(count).split(recipe.batch_size):
            rows = chosen.to(device)
            with autocast(device.type, recipe.precision):
                logits = network(normalise(split.images[rows]))
                loss = functional.cross_entropy(logits.float(), split.labels[rows])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        _wait(device)

    ours()
    bare()
    pairs = [(_seconds(ours), _seconds(bare)) for _ in range(3)]
    ratio = statistics.median(one / other for one, other in pairs)
    row = {"method": LOOP_METHOD, "images": count, "batch_size": recipe.batch_size, "precision": recipe.precision}
    row |= {"bench_seconds": [round(a, 4) for a, _ in pairs], "bare_seconds": [round(b, 4) for _, b in pairs]}
    session.save("loop", [row | {"ratio": ratio, "bar": 1.05}])
    session.say(f"loop: {ratio:.3f} of a bare loop (bar 1.05)")


def _case(session: Session, spec: str) -> Case:
    recipe = Recipe(batch_size=session.sizes.batch, precision="bf16")
    return Case(session.backbone, parse(spec)[0], recipe=recipe)


def _of(session: Session, case: Case, compiled: bool) -> Row:
    """A method's training step and forward pass."""
    device, row = session.device, _about(case, compiled)
    try:
        network = build(dataclasses.replace(case.backbone, weights=None), case.method, case.classes, case.recipe)
    except Unsupported as error:
        return row | {"status": "unsupported", "reason": str(error)}
    network = network.to(device)
    images, labels = _batch(case, device)
    started = time.monotonic()
    if compiled:
        torch.compiler.reset()
        network.compile(dynamic=False, backend=session.sizes.compiler)
    step = training_step(network, images, labels, case.recipe)
    step()
    _wait(device)
    first = time.monotonic() - started
    training = timed(step, device, WARMUP, session.sizes.steps)
    used = _joules(step, training, device, case.recipe.batch_size)
    planned = plan(case.training(), case.image_size, case.recipe)
    size = case.recipe.batch_size
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    per_image = round((planned.frozen_flops + planned.trained_flops) / size)
    row |= {
        "status": "ok",
        **_rates("train", training, size),
        "utilisation": utilisation(per_image, training.rate(size), name, case.recipe.precision),
        "train_flops_per_image": per_image,
        "joules_per_image": used,
        "first_step_seconds": first,
        "train_unstable": training.unstable,
    }
    if compiled:
        return row
    forward = _timed_forward(session, case.method.merge(network).eval(), images, case.recipe)
    return row | {**_rates("inference", forward, size), "inference_unstable": forward.unstable}


def _timm(session: Session) -> Row:
    """What inference is held to: the backbone as timm makes it, with a head of as many classes."""
    case = _case(session, "linear")
    model = as_timm_builds(case.backbone.architecture)
    model.reset_classifier(case.classes)
    model = model.to(session.device).eval()
    images, _ = _batch(case, session.device)
    forward = _timed_forward(session, model, images, case.recipe)
    return _about(case, False) | {
        "method": "(timm)",
        "status": "ok",
        **_rates("inference", forward, case.recipe.batch_size),
        "inference_unstable": forward.unstable,
    }


def _timed_forward(session: Session, network: torch.nn.Module, images: Tensor, recipe: Recipe) -> Timing:
    @torch.inference_mode()
    def step() -> None:
        with autocast(session.device.type, recipe.precision):
            network(images)

    return timed(step, session.device, WARMUP, session.sizes.steps)


def _joules(step: Callable[[], None], timing: Timing, device: torch.device, images: int) -> float | None:
    """What an image takes in a training step, over enough steps to be seen by the counter."""
    before = joules(device)
    if before is None:
        return None
    steps = max(10, math.ceil(ENERGY_SECONDS / timing.median))
    for _ in range(steps):
        step()
    _wait(device)
    after = joules(device)
    return None if after is None else (after - before) / (steps * images)


def _rates(kind: str, timing: Timing, size: int) -> Row:
    low, high = timing.rates(size)
    rate = f"{kind}_images_per_second"
    return {rate: timing.rate(size), f"{rate}_low": low, f"{rate}_high": high}


def _about(case: Case, compiled: bool) -> Row:
    return {
        "backbone": case.backbone.name,
        "method": str(case.method),
        "batch_size": case.recipe.batch_size,
        "precision": case.recipe.precision,
        "compiled": compiled,
    }


def _batch(case: Case, device: torch.device) -> tuple[Tensor, Tensor]:
    count, size = case.recipe.batch_size, case.image_size
    return torch.randn(count, 3, size, size, device=device), torch.randint(case.classes, (count,), device=device)


def _line(row: Row) -> str:
    if row["status"] != "ok":
        return f"{row['method']}: {row['status']}"
    words = [f"{row['method']}{' compiled' if row['compiled'] else ''}:"]
    if row.get("train_images_per_second"):
        words.append(f"train {row['train_images_per_second']:.0f} images/s,")
    if row.get("utilisation"):
        words.append(f"MFU {row['utilisation']:.1%},")
    if row.get("joules_per_image"):
        words.append(f"{row['joules_per_image']:.2f} J/image,")
    if row.get("inference_images_per_second"):
        words.append(f"inference {row['inference_images_per_second']:.0f} images/s")
    return " ".join(words)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
