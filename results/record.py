"""What a run gave: the score, the cost and where it was measured, as one JSON-shaped value.

Units stand in the field names. A quantity that was not measured is None, never a stand-in number.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from results.checked import build, closed, defaults
from results.text import readable_json
from results.words import first_words, todays_words

__all__ = [
    "BALANCE",
    "CALIBRATION_BINS",
    "MOST_CLASSES",
    "SCHEMA",
    "Cost",
    "Identity",
    "Record",
    "Score",
    "Speedups",
    "Where",
    "from_dict",
    "to_dict",
]

SCHEMA = 1
CALIBRATION_BINS = 15  # of equal width between 0 and 1
BALANCE = 2  # classes are balanced where none has more than so many times the images of another
MOST_CLASSES = 100  # of a task whose confusions are kept

Status = Literal["ok", "oom", "diverged", "unsupported"]


@closed
@dataclass(frozen=True)
class Identity:
    """What makes a run this run and no other; its path and its hash follow from it alone."""

    backbone: str
    method: str  # the spec, e.g. "lora:rank=4"
    suite: str
    task: str
    recipe: str  # the name; `changes` holds what the recipe resolved to
    seed: int
    changes: dict[str, Any] = field(default_factory=dict)  # resolved settings, only those that differ from defaults

    def __post_init__(self) -> None:
        for part, value in vars(self).items():  # names of folders and files may be no UTF-8
            object.__setattr__(self, part, readable_json(value))

    def digest(self) -> str:
        """Eight hexadecimal digits that differ when any part does; a part at its default counts as absent."""
        values = vars(self) | {"changes": first_words(self.changes)}
        parts = {key: value for key, value in values.items() if value != defaults(Identity).get(key)}
        text = json.dumps(parts, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@closed
@dataclass(frozen=True)
class Score:
    """Accuracies in [0, 1] on the test split, and the training loss; lists have one entry an epoch or evaluation.

    From `top5_accuracy` on, scores are of the last epoch; they are None in records of before they were computed.
    """

    test_accuracy: float | None = None  # of the last epoch: the headline
    best_test_accuracy: float | None = None  # best of `evaluations`; only beside published numbers obtained that way
    evaluations: list[list[float]] = field(default_factory=list)  # [epoch, test accuracy]
    train_losses: list[float] = field(default_factory=list)
    train_accuracies: list[float] = field(default_factory=list)  # of mixed images: the larger share counts
    skipped_images: dict[str, int] = field(default_factory=dict)  # by split, where images could not be decoded
    top5_accuracy: float | None = None  # where an answer is one of more than ten classes
    mean_class_accuracy: float | None = None  # mean over the classes that the test split has
    negative_log_likelihood: float | None = None  # mean over the images, natural logarithm
    calibration_error: float | None = None  # expected calibration error over CALIBRATION_BINS
    calibration_bins: list[list[float]] | None = None  # of each: images, sum of their confidences, right answers
    temperature: float | None = None  # chosen on validation images, where there are some beside the training images
    calibrated_error: float | None = None  # calibration error of the logits divided by the temperature
    calibrated_bins: list[list[float]] | None = None
    confusion: list[list[int]] | None = None  # images by label (row) and answer; of at most MOST_CLASSES classes


@closed
@dataclass(frozen=True)
class Cost:
    """Parameters in scalars, memory in bytes, time in seconds, energy in joules."""

    trainable: int | None = None
    trainable_without_head: int | None = None
    total: int | None = None
    printed_extra: int | None = None  # in the source's printed count beside `trainable`: registered there, never used
    planned_peak_bytes: int | None = None  # dispatch-mode count over two training steps (docs/memory.md)
    planned_breakdown: dict[str, int] = field(default_factory=dict)
    peak_bytes: int | None = None  # CUDA allocator, allocated in training; on a fresh network where features are kept
    reserved_bytes: int | None = None
    epoch_seconds: list[float] = field(default_factory=list)
    train_seconds: float | None = None
    train_joules: float | None = None  # of the whole card over `train_seconds`, what other processes did there included
    test_seconds: float | None = None
    train_images: int | None = None
    test_images: int | None = None


@closed
@dataclass(frozen=True)
class Speedups:
    """What a run did once or otherwise than the plain loop; times and peaks of such a run are not the method's own."""

    feature_cache: str | None = None  # where frozen features were kept in training: "device", "host", "disk"
    feature_cache_reason: str | None = None  # why they were computed in every epoch
    feature_cache_bytes: int | None = None  # what is kept of the training images
    feature_cache_type: str | None = None  # of the numbers kept, e.g. "float32"
    feature_cache_seconds: float | None = None  # of computing them, before the first epoch; 0 where they were there
    feature_cache_same: bool | None = None  # whether images of other batches had the same last digits
    cached_peak_bytes: int | None = None  # of CUDA's allocator in training, the features on the device included
    test_cached: bool = False  # whether the test images' features were kept as well
    compiled: str | None = None  # "kernels" (--compile)


@closed
@dataclass(frozen=True)
class Where:
    """Provenance: enough to run it again, nothing about the person who ran it.

    Of paths outside the project only the last parts are kept, and none that leads to a home.
    """

    date: str
    commit: str | None
    dirty: bool | None
    command: str
    device: str
    driver: str | None
    versions: dict[str, str] = field(default_factory=dict)
    folder: str | None = None  # of one's own images
    weights: str | None = None  # the weight file, where the user named one
    log: str | None = None  # of a tracker: a folder below the results, an address, or its project and name of the run


@closed
@dataclass(frozen=True)
class Record:
    """One finished run. `status` other than "ok" is a result too, with its `reason`; scores are then None."""

    identity: Identity
    group: str
    classes: int
    method: dict[str, Any]  # resolved settings of the method
    recipe: dict[str, Any]  # resolved recipe
    status: Status
    score: Score
    cost: Cost
    where: Where
    reason: str | None = None
    place: int = 0  # of the task in its suite, for the order of columns
    kept: dict[str, str] = field(default_factory=dict)  # checksums of the files beside it, by kind (results/kept.py)
    preprocessing: dict[str, Any] = field(default_factory=dict)  # what was done to every image; empty: not recorded
    speedups: Speedups = field(default_factory=Speedups)
    class_names: list[str] = field(default_factory=list)  # by label; empty where the data have none
    method_code: str = ""  # digest of the method's source code (bench/source_digest.py); empty: not recorded
    understood: str = ""  # how one's own folder was read; of other suites sizes, where they are not those published
    schema: int = SCHEMA


def to_dict(record: Record) -> dict[str, Any]:
    """Plain JSON types, with readable text."""
    return readable_json(dataclasses.asdict(record))


def from_dict(values: dict[str, Any]) -> Record:
    """The inverse of `to_dict`; raises ValueError on a missing, unknown or ill-typed field, or another schema.

    A field with a default may be missing, so that a cost added later does not orphan the records of today.
    """
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise ValueError(f"schema {values.get('schema') if isinstance(values, dict) else None!r}, expected {SCHEMA}")
    record: Record = build(Record, todays_words(readable_json(values)), "record")
    return record
