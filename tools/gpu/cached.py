"""Whole runs with and without kept features, and the hours that all methods take on all of VTAB-1k on this card."""

from __future__ import annotations

import dataclasses

from bench.run import Run, plan_grid
from datasets import suite
from methods import Method
from methods.recipe import resolve
from methods.spec import parse_list
from tools.gpu.session import Row, Session
from tools.side_by_side import compare, synthetic

__all__ = ["compare_cached", "project_hours"]

METHODS = "linear,head2toe,vqt,synqt,lst,dtl"
SAMPLE = 3  # timed epochs of each run
TARGET_HOURS = 2.0


def compare_cached(session: Session) -> None:
    """Save one by one."""
    rows: list[Row] = []
    for run in _runs(session):
        if session.left <= 0:
            break
        with session.guarded("cached", str(run.method)):
            compared = compare(run, session.device, run.recipe.epochs, SAMPLE)
            rows.append({**dataclasses.asdict(compared), "ratio": compared.ratio, "precision": run.recipe.precision})
            session.save("cached", rows)
            session.say(f"cached: {run.method} {compared.ratio:.1f} times as fast")


def _runs(session: Session) -> list[Run]:
    drawn = synthetic(session.sizes.images, session.backbone.image_size)
    chosen = METHODS if session.sizes.methods == "all" else session.sizes.methods
    changes = {"batch_size": session.sizes.batch, "precision": "bf16"}
    return plan_grid(session.backbone, parse_list(chosen), drawn, drawn.tasks, "common", (0,), changes)


def project_hours(session: Session) -> None:
    """Hours of `--methods all --suite vtab --recipe common --precision bf16`, by the speeds measured just now."""
    speeds = session.measured("speed")
    if speeds is None:
        return
    found = session.measured("cached")
    cached: list[Row] = [] if found is None else found.to_dict("records")  # type: ignore[assignment]
    tasks, rows = suite("vtab").tasks, list[Row]()
    for _, speed in speeds[(speeds["status"] == "ok") & ~speeds["compiled"].astype(bool)].iterrows():
        if speed["method"] == "(timm)":
            continue
        method = parse_list(str(speed["method"]))[0]
        epochs = resolve("common", method, tasks[0].name, {})[0].epochs
        stages = 1 if type(method).stages is Method.stages else 2
        train = sum(task.sizes["train"] for task in tasks) * epochs * stages / speed["train_images_per_second"]
        test = sum(task.sizes["test"] for task in tasks) / speed["inference_images_per_second"]
        kept = next((row for row in cached if row["method"] == speed["method"]), None)
        if kept is not None and kept["feature_cache_bytes"] > 0:
            train = sum(task.sizes["train"] for task in tasks) / kept["images"] * kept["cached_run_seconds"]
        hours = {"train_hours": train / 3600, "test_hours": test / 3600}
        rows.append({"method": speed["method"], **hours, "cached": kept is not None})
    total = sum(row["train_hours"] + row["test_hours"] for row in rows)
    session.save("hours", rows)
    session.say(
        f"all methods on VTAB-1k, 19 tasks, 100 epochs: {total:.2f} hours of this card (target {TARGET_HOURS:g})"
    )
