"""A run that reads frozen states computed once gives the same numbers, to the last digit, as one that does not."""

import dataclasses
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import bench.data.batches
import bench.features.key
import bench.features.reader
import bench.run
import datasets
from bench.features.key import key_of
from bench.features.memory import InMemory, NoRoom
from bench.features.reader import store_for
from bench.features.store import Key
from bench.run import Run
from bench.runner.execute import execute
from bench.settings import CacheLimits, RunSettings
from datasets import Task
from datasets.base import Split
from datasets.transforms.preprocessing import PRESETS
from methods import METHODS, Entangled
from methods.vqt import Queried
from results import Cost, Record, Speedups, load, save
from tests.bench.tiny import CLASSES, examples, run
from tests.methods.small import network_of

CPU = torch.device("cpu")
OFF, ON = RunSettings(CPU, cache_features="off"), RunSettings(CPU, cache_features="on")
DEEPER = ["lora:layer=3", "partial:blocks=3", "dtl:start=3:kernel=4"]  # which read other states than by default
STAGED = ["vqt:keep=0.5", "head2toe:size=24:fraction=0.25"]


@pytest.fixture(autouse=True)
def _no_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning takes longer than these runs and is not what is tested here."""
    monkeypatch.setattr(bench.runner.execute, "planned_cost", lambda *_: Cost())


@pytest.fixture
def auto() -> RunSettings:
    """A store of its own."""
    store_for(RunSettings(CPU)).clear()
    return RunSettings(CPU)


def asked(spec: str, **recipe: Any) -> Run:
    """Two epochs with a last batch that is not full, tested after each."""
    return run(spec, **{"epochs": 2, "batch_size": 5, "evaluate_every": 1, **recipe})


def lasting(spec: str, **recipe: Any) -> Run:
    """The same on data that have a revision."""
    task = Task("colours", "natural", CLASSES, {"train": 12, "test": 10}, examples, "1")
    return dataclasses.replace(asked(spec, **recipe), task=task)


@pytest.mark.parametrize("attention", ["fused", "eager"])
def test_every_method_scores_the_same_to_the_last_digit(attention: str) -> None:
    """One store serves all of them, so that most read what another one left."""
    store_for(RunSettings(CPU)).clear()
    for spec in [*METHODS, *DEEPER, *STAGED] if attention == "fused" else ["vqt", "synqt", "lst", *STAGED]:
        plain, cached = (
            execute(asked(spec, attention=attention), how) for how in (OFF, RunSettings(CPU, cache_features="on"))
        )
        assert cached.score == plain.score, spec
        assert plain.speedups == Speedups(feature_cache_reason="switched off")
        learns = "images" in network_of(spec).required_states and len(network_of(spec).required_states) == 1
        assert cached.speedups.feature_cache == (None if learns else "device"), spec
        assert cached.speedups.feature_cache_same is (None if learns else True), spec


def test_states_of_one_method_serve_another(auto: RunSettings) -> None:
    first, second, third = (execute(asked(spec), auto).speedups for spec in ("lst", "dtl", "linear"))
    assert first.feature_cache_seconds > 0
    assert second.feature_cache_seconds == 0
    assert second.feature_cache_bytes == first.feature_cache_bytes * 8 // 13  # embedding and 7 of 12 blocks
    assert third.feature_cache_seconds > 0  # the pooled feature was not there


def test_seeds_of_random_weights_do_not_share(auto: RunSettings) -> None:
    first, other, again = (execute(dataclasses.replace(asked("linear"), seed=seed), auto) for seed in (0, 1, 0))
    assert [record.speedups.feature_cache_seconds > 0 for record in (first, other, again)] == [True, True, False]
    assert first.score == again.score != other.score


def test_the_frozen_part_is_computed_once(auto: RunSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    original = bench.features.reader.batches
    monkeypatch.setattr(bench.features.reader, "batches", lambda *given: seen.append(len(given[0])) or original(*given))
    execute(asked("vqt:keep=0.5"), auto)  # three stages of two epochs, tested in between
    assert sorted(seen) == [10, 12]


@pytest.mark.parametrize(
    ("spec", "recipe", "reason"),
    [
        ("full", {}, "everything learns"),
        ("lora", {}, "no more than the embedding is frozen"),
        ("synqt", {"drop_path": 0.1}, "the frozen part is random in training"),
        ("linear", {"backbone_dropout": 0.1}, "the frozen part is random in training"),
        ("vqt:embedding_dropout=0.1", {}, "the frozen part is random in training"),
    ],
)
def test_the_record_says_why_features_were_not_kept(auto: RunSettings, spec: str, recipe: Any, reason: str) -> None:
    record = execute(asked(spec, **recipe), auto)
    assert (record.speedups.feature_cache, record.speedups.feature_cache_reason) == (None, reason)
    assert record.score == execute(asked(spec, **recipe), OFF).score


def test_a_backbone_in_evaluation_mode_is_not_random(auto: RunSettings) -> None:
    plain, cached = (execute(asked("lst", drop_path=0.1), how) for how in (OFF, auto))
    assert cached.speedups.feature_cache == "device"
    assert cached.score == plain.score


def test_features_that_depend_on_the_batch_are_not_kept_where_digits_are_promised(
    auto: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden_states = Entangled.hidden_states

    def unsteady(network: Entangled, images: Any) -> Any:
        return {name: state + len(images) * 1e-5 for name, state in hidden_states(network, images).items()}

    monkeypatch.setattr(Entangled, "hidden_states", unsteady)
    plain, cached, forced = (execute(asked("linear"), how) for how in (OFF, auto, ON))
    assert cached.speedups.feature_cache_reason == "the last digits of an image's features depend on its batch here"
    assert cached.score == plain.score
    assert (forced.speedups.feature_cache, forced.speedups.feature_cache_same) == ("device", False)
    assert forced.score != plain.score


def test_features_that_are_not_those_kept_are_never_read(auto: RunSettings) -> None:
    """Whatever the key missed: digits may differ on a device, features may not."""
    filled = execute(asked("linear"), auto)
    assert (filled.speedups.feature_cache, filled.speedups.test_cached) == ("device", True)
    for tier in store_for(auto).tiers:
        for state in tier.states():
            state[-1] *= 1.1
    for how in (auto, ON):
        record = execute(asked("linear", batch_size=12), how)
        assert record.speedups.feature_cache_reason == "an image's features are not those kept, by more than rounding"
        assert not record.speedups.test_cached
        assert record.score == execute(asked("linear", batch_size=12), OFF).score
    store_for(auto).clear()


def test_the_key_follows_what_makes_features(monkeypatch: pytest.MonkeyPatch) -> None:
    def key() -> Key:
        return key_of(asked("linear"), "train", Split(torch.zeros(1), torch.zeros(1)), CPU)

    before = key()
    assert key() == before
    assert key_of(asked("linear"), "train", Split(torch.ones(1), torch.zeros(1)), CPU) != before
    with monkeypatch.context() as patch:
        patch.setattr(bench.features.key, "states_digest", lambda: "changed")
        assert key() != before
    with monkeypatch.context() as patch:
        patch.setattr(bench.features.key, "version", lambda name: "0" if name == "pillow" else version(name))
        assert key() != before
    changed = dict(PRESETS) | {asked("linear").recipe.preprocessing: PRESETS["dtl"]}
    monkeypatch.setattr(bench.run, "PRESETS", changed)
    assert key() != before


def test_a_later_stage_that_fits_nowhere_is_not_called_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    how = RunSettings(CPU, cache_features="on")
    store, calls = store_for(how), list[int]()
    store.clear()
    kept = store.kept
    monkeypatch.setattr(store, "kept", lambda *given: calls.append(1) or (kept(*given) if len(calls) == 1 else None))
    record = execute(asked("vqt:keep=0.5", evaluate_every=0), how)
    assert record.speedups.feature_cache is None
    assert record.speedups.feature_cache_reason == "the features fit nowhere within the limits"


def test_memory_that_cannot_be_had_costs_a_place_and_not_the_run(
    auto: RunSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As where pinning fails, whose error is none of being out of memory."""
    blank = InMemory.blank

    def too_much(tier: InMemory, key: Any, name: str, shape: tuple[int, ...], kind: torch.dtype) -> torch.Tensor:
        return blank(tier, key, name, (2**58, *shape[1:]), kind)

    monkeypatch.setattr(InMemory, "blank", too_much)
    with pytest.raises(NoRoom):
        InMemory("device", 0, CPU).blank("key", "state", (1,), torch.float32)
    how = dataclasses.replace(auto, cache_folder=tmp_path)
    assert execute(lasting("vqt", evaluate_every=0), how).speedups.feature_cache == "disk"


def test_what_stops_the_filling_leaves_nothing_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(bench.data.batches, "TEST_BATCH", 5)
    hidden_states = Queried.hidden_states

    def interrupted(network: Queried, images: Any) -> Any:
        seen.append(len(images))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return hidden_states(network, images)

    monkeypatch.setattr(Queried, "hidden_states", interrupted)
    how = RunSettings(CPU, cache_limits=CacheLimits(device=0), cache_folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        execute(lasting("vqt"), how)
    assert len(seen) == 2
    assert not list(tmp_path.iterdir())


def test_running_out_of_memory_without_features_has_its_own_reason(
    auto: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What other runs kept may be in the way, so the run is tried again; what it says of itself stays true."""
    execute(asked("linear"), auto)

    def scarce(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(bench.runner.execute, "train", scarce)
    assert execute(asked("full"), auto).speedups == Speedups(feature_cache_reason="everything learns")


def test_what_fits_nowhere_is_not_kept() -> None:
    record = execute(asked("lst"), RunSettings(CPU, cache_limits=CacheLimits(device=100_000)))
    assert record.speedups.feature_cache_reason == "the features fit nowhere within the limits"
    assert record.score == execute(asked("lst"), OFF).score


def test_memory_is_bounded() -> None:
    how = RunSettings(CPU, cache_limits=CacheLimits(device=900_000))
    for seed in range(4):
        execute(dataclasses.replace(asked("lst"), seed=seed), how)
    assert store_for(how).tiers[0].used() <= 900_000


def test_what_does_not_fit_in_memory_goes_to_disk_and_is_found_there(tmp_path: Path) -> None:
    how = RunSettings(CPU, cache_limits=CacheLimits(device=0), cache_folder=tmp_path)
    first = execute(lasting("vqt", evaluate_every=0), how)
    bench.features.reader.store_of.cache_clear()  # as another process would begin
    second = execute(lasting("vqt", evaluate_every=0), how)
    assert first.score == second.score == execute(lasting("vqt", evaluate_every=0), OFF).score
    assert (first.speedups.feature_cache, second.speedups.feature_cache) == ("disk", "disk")
    assert first.speedups.feature_cache_seconds > second.speedups.feature_cache_seconds == 0


def test_data_without_a_revision_leave_nothing_on_disk(tmp_path: Path) -> None:
    how = RunSettings(CPU, cache_limits=CacheLimits(device=0), cache_folder=tmp_path)
    record = execute(asked("vqt"), how)
    assert record.speedups.feature_cache is None
    assert not list(tmp_path.iterdir())


def pictures(folder: Path, mended: bool) -> Run:
    """Two colours as files of one size each, some swapped until they are mended in place; times are put back."""
    for split, count in (("train", 12), ("test", 10)):
        for name, colour in (("a", (220, 30, 30)), ("b", (30, 30, 220))):
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                file = folder / split / name / f"{i}.bmp"
                Image.new("RGB", (32, 32), colour if mended or i % 2 else colour[::-1]).save(file)
                os.utime(file, ns=(10**18, 10**18))
    (task,) = datasets.suite(f"folder:{folder}").tasks
    return dataclasses.replace(asked("linear", epochs=3), task=task, suite="folder")


@pytest.mark.parametrize("memory", [0, 10**9])
def test_images_that_were_mended_in_place_have_features_of_their_own(
    tmp_path: Path, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bench.data.splits.IN_MEMORY_BYTES", memory
    )  # test images are decoded as they are read, or once
    how = RunSettings(CPU, cache_limits=CacheLimits(device=0), cache_folder=tmp_path / "features", cache_features="on")
    swapped = execute(pictures(tmp_path / "own", mended=False), how)
    bench.features.reader.store_of.cache_clear()
    run = pictures(tmp_path / "own", mended=True)
    mended = execute(run, how)
    assert swapped.identity == mended.identity
    assert mended.speedups.feature_cache == "disk"
    assert mended.score == execute(run, OFF).score != swapped.score


def test_what_was_kept_before_a_forced_call_is_not_read(tmp_path: Path) -> None:
    how = RunSettings(CPU, cache_limits=CacheLimits(device=0), cache_folder=tmp_path)
    execute(lasting("vqt", evaluate_every=0), how)
    forced = dataclasses.replace(how, features_since=time.time())
    first, second = (execute(lasting("vqt", evaluate_every=0), forced).speedups for _ in range(2))
    assert (first.feature_cache, second.feature_cache) == ("disk", "disk")
    assert first.feature_cache_seconds > second.feature_cache_seconds == 0


def test_a_test_split_is_kept_when_it_is_scored_again(auto: RunSettings) -> None:
    once, again = (execute(asked("vqt", evaluate_every=0), auto).speedups.test_cached for _ in range(2))
    often = execute(asked("linear"), auto).speedups.test_cached
    assert (once, again, often) == (False, True, True)


def test_the_record_states_bytes_and_type_and_survives(auto: RunSettings, tmp_path: Path) -> None:
    record: Record = execute(asked("linear"), auto)
    assert (record.speedups.feature_cache_bytes, record.speedups.feature_cache_type) == (12 * 24 * 4, "float32")
    assert load(save(tmp_path, record)) == record


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("spec", ["linear", "lst", "vqt", "head2toe"])
def test_half_precision_is_close(auto: RunSettings, spec: str, precision: str) -> None:
    plain, cached = (execute(asked(spec, precision=precision, epochs=1), how) for how in (OFF, auto))
    assert cached.speedups.feature_cache == "device"
    first = cached.score.train_losses[0]  # a stage after it may have selected another feature
    assert first == pytest.approx(plain.score.train_losses[0], rel=2e-2)


def test_what_is_kept_makes_way_when_memory_runs_out(auto: RunSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    train, stored = bench.runner.execute.train, []

    def scarce(network: Any, split: Any, *rest: Any) -> None:
        stored.append(isinstance(split, bench.features.reader.Stored))
        if stored[-1]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        train(network, split, *rest)

    monkeypatch.setattr(bench.runner.execute, "train", scarce)
    record = execute(asked("linear"), auto)
    assert (record.status, stored) == ("ok", [True, False])
    assert record.speedups == Speedups(feature_cache_reason="memory ran out with them")


def test_a_disk_that_fills_up_costs_the_cache_and_not_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    how = RunSettings(CPU, cache_limits=CacheLimits(device=0), cache_folder=tmp_path)
    record = execute(lasting("vqt"), how)
    assert (record.status, record.speedups.feature_cache) == ("ok", None)
    assert not list(tmp_path.iterdir())
