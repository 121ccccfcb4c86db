"""The command `predict`: a network made again from the record of a run and the weights kept of it, shown images."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from bench.data.batches import Normaliser, statistics_of
from bench.errors import UsageError
from bench.grid.request import OVERRIDES, device_of
from bench.runner.restore import Rebuilt, rebuild
from bench.train.step import autocast
from datasets.suites.folder import split_options
from datasets.transforms.decoding import BadImage, decoded, read
from datasets.transforms.preprocessing import PRESETS
from methods.backbones.registry import find
from methods.recipe import RECIPES, RENAMED, called, is_file
from results import Damaged, Identity, NotKept, Record, load, load_kept, root_of

__all__ = ["Answer", "Guess", "document", "predict", "show"]


@dataclass(frozen=True)
class Guess:
    """A class by its number, as the task counts from 0, its name where the data have one, its share of the softmax."""

    label: int
    probability: float
    name: str | None = None


@dataclass(frozen=True)
class Answer:
    """The most likely classes of each image, most likely first, and why the others could not be read."""

    method: str
    task: str
    classes: int
    images: dict[str, list[Guess]]
    failed: dict[str, str]


def predict(path: Path, images: Sequence[Path], top: int, backbone: str | None, device: str) -> Answer:
    """Make the network of the record at `path` again and show it the images that can be read. Raises UsageError."""
    chosen_device = device_of(device)
    record = _read(path)
    try:
        arrays = load_kept(root_of(path), record, "weights")
    except NotKept as error:
        raise UsageError(f"{error}; make them with {command(record, root_of(path))}") from error
    except Damaged as error:
        raise UsageError(f"{error}; make it again with {command(record, root_of(path))} --force") from error
    rebuilt = rebuild(record, arrays, backbone)
    rendering = record.preprocessing.get("rendering", "stored")
    guesses: dict[str, list[Guess]] = {}
    failed: dict[str, str] = {}
    for file in images:
        try:
            pixels = _pixels(file, rebuilt, rendering)
        except BadImage as error:
            failed[str(file)] = str(error)
            continue
        guesses[str(file)] = _named(_guesses(rebuilt, pixels, top, chosen_device), record.class_names)
    return Answer(record.identity.method, record.identity.task, record.classes, guesses, failed)


def command(record: Record, root: Path) -> str:
    """The call that makes the run again and keeps its weights, with what the call then named besides."""
    asked, recipe, then = record.identity, record.recipe, shlex.split(record.where.command)
    words = ["python", "bench.py", "--methods", asked.method, *_data(asked, then)]
    words += ["--backbone", _worded(record), "--recipe", _recipe(asked.recipe, then), "--seeds", str(asked.seed)]
    words += [f"--set={','.join(changed)}"] if (changed := _set(recipe, then)) else []
    for name in ("--data", "--on-bad-image"):
        words += [word for value in _given(then, name)[-1:] for word in (name, value)]
    if other := asked.changes.get("normalise"):
        words += ["--normalise", "/".join(",".join(map(str, values)) for values in other)]
    for key in OVERRIDES:  # those of the recipe itself change nothing
        words += _option(key, recipe.get(key))
    return shlex.join([*words, "--results", str(root), "--keep", "weights"])


def _given(words: Sequence[str], name: str) -> list[str]:
    """The values of an option in a call, `--name value` or `--name=value`."""
    spaced = [value for word, value in itertools.pairwise(words) if word == name]
    return spaced + [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]


def _recipe(name: str, then: Sequence[str]) -> str:
    """The recipe as the call named it: one that was a file is called by the file."""
    files = [value for value in _given(then, "--recipe") if is_file(value) and called(value) == name]
    return files[-1] if files else name if name in RECIPES else f"{name}.toml"


def _set(recipe: Mapping[str, Any], then: Sequence[str]) -> list[str]:
    """The fields that the call gave with --set, each with the value that the run had of a sweep."""
    said = [word.partition("=")[0].strip() for text in _given(then, "--set") for word in text.split(",")]
    keys = [RENAMED.get(key, key) for key in said]
    wanted = [key for key in dict.fromkeys(keys) if key in recipe and (key not in OVERRIDES or key == "optimizer")]
    return [f"{key}={recipe[key]}".lower() for key in wanted]  # true, false and none are written so


def _option(key: str, value: Any) -> list[str]:
    """The words of one option; nothing for a flag that is off, and for what no option can ask for."""
    name = f"--{key.replace('_', '-')}"
    if isinstance(value, bool):
        return [name] if value else []
    if value in (None, "") or (key == "optimizer" and value != "adamw8bit"):
        return []
    return [name, str(value)]


def _data(asked: Identity, then: Sequence[str]) -> list[str]:
    """Suite and task; of one's own images the record knows no path, which only the user can name."""
    if asked.suite != "folder":
        return ["--suite", asked.suite, "--tasks", asked.task]
    named = next((word for word in _given(then, "--suite") if word.startswith("folder:")), "folder:PATH")
    return ["--suite", ":".join(["folder:PATH", *split_options(named)[1:]])]


def _worded(record: Record) -> str:
    """The backbone, with a place for the weight file that only the user can name."""
    name, weights = record.identity.backbone, record.identity.changes.get("weights")
    return name if weights in (None, find(name).digest()) else f"{name}=FILE"


def document(answer: Answer) -> str:
    """The answer as one JSON document."""
    return json.dumps(asdict(answer), indent=1)


def show(answer: Answer, console: Console) -> None:
    """A line for each image and class."""
    if not answer.images:
        return
    title = escape(f"{answer.method} trained on {answer.task} ({answer.classes} classes)")
    table = Table(title=title, title_justify="left")
    for heading in ("image", "class", "probability"):
        table.add_column(heading, justify="left" if heading == "image" else "right", overflow="fold")
    for name, guesses in answer.images.items():
        for rank, guess in enumerate(guesses):
            last = rank == len(guesses) - 1
            shown = f"{100 * guess.probability:.1f} %"
            row = "" if rank else escape(name), escape(guess.name or str(guess.label)), shown
            table.add_row(*row, end_section=last)
    console.print(table)


def _named(guesses: Sequence[Guess], names: Sequence[str]) -> list[Guess]:
    return [replace(guess, name=names[guess.label] if names else None) for guess in guesses]


def _read(path: Path) -> Record:
    try:
        return load(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; give the .json file of a run, below results/runs") from error
    except Damaged as error:
        raise UsageError(f"{error}; give the .json file of a run, below results/runs") from error


def _pixels(file: Path, rebuilt: Rebuilt, rendering: Any) -> Tensor:
    """The image as the run read its own (1×3×H×W, uint8), or refused for the same reasons."""
    preset = replace(PRESETS[rebuilt.recipe.preprocessing], rendering=rendering)
    try:
        return preset.pixels(decoded(read(file)), rebuilt.backbone.image_size).unsqueeze(0)
    except (ValueError, OSError, MemoryError) as error:  # among them BadImage
        why = str(error) or type(error).__name__
        said = why if why.startswith("cannot be read") else f"cannot be read as an image: {why}"
        raise BadImage(f"{file}: {said}") from error


@torch.inference_mode()
def _guesses(rebuilt: Rebuilt, pixels: Tensor, top: int, device: torch.device) -> list[Guess]:
    normalise = Normaliser.of(*statistics_of(rebuilt.recipe.preprocessing, rebuilt.backbone), device)
    network = rebuilt.network.to(device).eval()
    with autocast(device.type, rebuilt.recipe.precision):
        logits = network(normalise(pixels.to(device)))
    shares, labels = logits.float().softmax(dim=1)[0].topk(min(top, logits.shape[1]))
    return [Guess(int(label), float(share)) for label, share in zip(labels.tolist(), shares.tolist(), strict=True)]
