"""How long runs take: from records of like runs and measured steps, and by planned FLOPs for methods that have none.

Nothing is run for it. What neither source knows is None, and planning stops after a few seconds.
"""

from __future__ import annotations

import heapq
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from bench.cost.flops import Flops, ModuleMacs
from bench.data.batches import steps_in_epoch
from bench.run import Run
from bench.train.network import build, build_on_meta
from datasets.transforms.preprocessing import PRESETS
from methods import Method, Unsupported
from methods.backbones.registry import Backbone
from methods.recipe import Recipe
from results import CostRecord, Record

__all__ = [
    "KEPT",
    "Estimate",
    "Rate",
    "estimates",
    "key_of",
    "known_rates",
    "longest_first",
    "measured_rates",
    "recorded_rates",
    "with_workers",
]

KEPT = "records of runs with kept features"

PLANNING_SECONDS = 2.0  # that `estimates` may take to plan; one method of a ViT-B/16 takes a fifth of a second

Key = tuple[str, str, str, bool]  # backbone, method as resolved, precision, whether training images are augmented


@dataclass(frozen=True)
class Rate:
    """Seconds an image: in one epoch of every stage that the method trains, and in the test."""

    train: float
    test: float
    source: str

    @property
    def cached(self) -> bool:
        """Return whether features were kept: then these are times of like runs, and no speed of planned FLOPs."""
        return self.source == KEPT


@dataclass(frozen=True)
class Estimate:
    """Of one run; start-up is not in it, nor loading and augmenting of images unless a record knows them."""

    seconds: float
    source: str


def estimates(left: Sequence[Run], known: dict[Key, Rate], others: Sequence[Run] = ()) -> list[Estimate | None]:
    """Return how long each of the runs takes, or None where nobody knows.

    A method without a rate goes at the median speed, in planned FLOPs, of the methods with one, which are looked for
    among `left` and `others` (runs that are done).
    """
    rates = dict(known)
    examples = {key_of(run): run for run in reversed([*left, *others])}
    if unknown := [key for key in dict.fromkeys(map(key_of, left)) if key not in rates]:
        end = time.monotonic() + PLANNING_SECONDS
        speeds: dict[tuple[str, bool], list[tuple[float, float]]] = {}  # by precision, and whether images are augmented
        for key in [key for key in examples if key in known and not known[key].cached]:
            if time.monotonic() < end and all(planned := _work_of_an_image(*_parts(examples[key]))):
                pair = known[key].train / planned[0], known[key].test / planned[1]
                speeds.setdefault(key[2:], []).append(pair)
        for key in unknown:
            if time.monotonic() < end and key[2:] in speeds:
                train, test = map(statistics.median, zip(*speeds[key[2:]], strict=True))
                planned = _work_of_an_image(*_parts(examples[key]))
                rates[key] = Rate(planned[0] * train, planned[1] * test, "planned FLOPs at the speed of recorded runs")
    return [_estimate(run, rates.get(key_of(run))) for run in left]


def with_workers(seconds: Sequence[float], workers: int) -> float:
    """Return when the last of so many workers is done, if the longest run that is left is always taken next."""
    ends = [0.0] * workers
    for run in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + run)
    return max(ends)


def longest_first(runs: Sequence[Run]) -> list[Run]:
    """Sort runs by planned multiply-adds, so that no long one is left alone at the end; equals by method, in order."""
    places = {method: place for place, method in enumerate(dict.fromkeys(run.resolved for run in runs))}
    return sorted(runs, key=lambda run: (-_work(run), places[run.resolved]))


def key_of(run: Run) -> Key:
    """Return what makes runs alike."""
    augmented = PRESETS[run.recipe.preprocessing].augmentation is not None
    return run.backbone.name, str(run.resolved), run.recipe.precision, augmented


def known_rates(
    runs: Sequence[Run], records: Iterable[Record], costs: Iterable[CostRecord], device: str
) -> dict[Key, Rate]:
    """Return what records say, else measured steps, else records of runs with kept features."""
    recorded, measured = recorded_rates(records, device), measured_rates(runs, costs, device)
    return recorded | measured | {key: rate for key, rate in recorded.items() if not rate.cached}


def recorded_rates(records: Iterable[Record], device: str) -> dict[Key, Rate]:
    """Return medians over records of runs that finished on a kind of device ("cpu" or "cuda"), or on a named one.

    Records of runs with kept features count where there are no others; computing features is then part of training.
    """
    seen: dict[bool, dict[Key, list[tuple[float, float]]]] = {True: {}, False: {}}  # with kept features, without
    for record in records:
        cost, name = record.cost, record.where.device
        like = device in (name, "cpu" if name.startswith("cpu") else "cuda")
        if record.status != "ok" or not like or not (cost.train_images and cost.test_images):
            continue
        method, precision = str(record.identity.changes.get("method")), str(record.recipe.get("precision"))
        key = record.identity.backbone, method, precision, "augmentation" in record.preprocessing
        trained = cost.train_images * int(record.recipe["epochs"])
        seconds = (cost.train_seconds or 0.0) + (record.speedups.feature_cache_seconds or 0.0)
        cached = bool(record.speedups.feature_cache or record.speedups.test_cached)
        seen[cached].setdefault(key, []).append((seconds / trained, (cost.test_seconds or 0.0) / cost.test_images))
    sources = {True: KEPT, False: "records of runs"}  # in this order: the second replaces the first
    return {key: _median(pairs, sources[cached]) for cached in sources for key, pairs in seen[cached].items()}


def measured_rates(runs: Sequence[Run], costs: Iterable[CostRecord], device: str) -> dict[Key, Rate]:
    """Return rates by steps that `bench.py cost` measured on a device of that name, under the runs' conditions."""
    speeds = {}
    for row in costs:
        asked, figures = row.conditions, row.figures
        if row.where.device == device and figures.train_images_per_second and figures.inference_images_per_second:
            conditions = asked.backbone, asked.method, asked.precision, asked.batch_size, asked.attention
            if not asked.checkpointing and asked.autograd == "current":
                speeds[conditions] = figures.train_images_per_second, figures.inference_images_per_second
    rates = {}
    for run in {key_of(run): run for run in runs}.values():
        recipe = run.recipe
        for backbone in (run.backbone.name, f"random:{run.backbone.architecture}"):  # time does not depend on weights
            found = speeds.get((backbone, str(run.resolved), recipe.precision, recipe.batch_size, recipe.attention))
            if found is not None:
                rates[key_of(run)] = Rate(_stages_of(run) / found[0], 1 / found[1], "measured steps")
    return rates


def _estimate(run: Run, rate: Rate | None) -> Estimate | None:
    if rate is None:
        return None
    images = min(run.task.sizes["train"], steps_in_epoch(run.task.sizes["train"], run.recipe) * run.recipe.batch_size)
    return Estimate(images * run.recipe.epochs * rate.train + run.task.sizes["test"] * rate.test, rate.source)


def _median(pairs: Sequence[tuple[float, float]], source: str) -> Rate:
    steps, tests = zip(*pairs, strict=True)
    return Rate(statistics.median(steps), statistics.median(tests), source)


def _stages_of(run: Run) -> int:
    """Return how often the method trains."""
    if type(run.resolved).stages is Method.stages:
        return 1
    network = build(run.backbone, run.resolved, run.task.classes, run.recipe)
    return sum(1 for _ in run.resolved.stages(network))


def _work(run: Run) -> float:
    train, test = _work_of_an_image(*_parts(run))
    return train * run.task.sizes["train"] * run.recipe.epochs + test * run.task.sizes["test"]


def _parts(run: Run) -> tuple[Backbone, Method, Recipe]:
    return run.backbone, run.resolved, run.recipe


@cache
@torch.no_grad()
def _work_of_an_image(backbone: Backbone, method: Method, recipe: Recipe) -> tuple[int, int]:
    """Return planned multiply-adds of training, a backward pass counted as two forward, and of the test.

    The classes of the head hardly matter. Nothing is planned for what cannot run.
    """
    try:
        network = build_on_meta(backbone, method, 2, recipe).eval()
    except Unsupported:
        return 0, 0
    images = torch.empty(1, 3, backbone.image_size, backbone.image_size, device="meta")
    with Flops():  # which remembers operators that torch works out in Python
        with ModuleMacs() as frozen:
            features = network.extract(images)
        with ModuleMacs() as trained:
            network.adapt(features)
    return frozen.total + 3 * trained.total, frozen.total + trained.total
