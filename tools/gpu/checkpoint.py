"""The embedded checkpoint, pre-trained anew in the time that is left, beside the one that is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from bench.grid.request import Request, grid_of
from bench.runner.execute import execute
from bench.settings import RunSettings
from datasets.demo.formulas import draw_bank
from methods.backbones.registry import EMBEDDED
from results import Record
from tools.gpu.session import Row, Session
from tools.pretrain import pretrain, write_weights

__all__ = ["pretrain_checkpoint"]

LEAST = 180.0  # seconds that must be left; in less the card does not get beyond what a CPU did in half an hour
PROBES = 60.0  # seconds that are kept for both linear probes
GAIN = 3.0  # points of the probe that the new weights must gain to be worth another file
SEED = 0


def pretrain_checkpoint(session: Session) -> None:
    """Pre-train on the same formulas with the whole device, and probe the suite with the new and the shipped weights.

    The new file, of the same size, lies aside as `measured/pretrained.safetensors`; both numbers stand in the rows.
    """
    sizes = session.sizes
    if session.left < LEAST and sizes.pretrain_steps is None:
        session.say(f"pretrain: left out, it needs {LEAST / 60:.0f} minutes")
        return
    bank = draw_bank(sizes.pretrain_kinds, sizes.pretrain_each, SEED)
    steps = sizes.pretrain_steps or float("inf")
    outcome = pretrain(bank, SEED, max(1.0, session.left - PROBES), steps, session.device)
    path = session.results / "measured" / "pretrained.safetensors"
    words = f"--steps {outcome.steps} --kinds {sizes.pretrain_kinds} --each {sizes.pretrain_each} --seed {SEED}"
    write_weights(outcome, path, f"python -m tools.pretrain --minutes inf {words} --device {session.device}")
    shipped, new = _probed(session, EMBEDDED), _probed(session, path)
    worth = new >= shipped + GAIN / 100
    row: Row = {"steps": outcome.steps, "seconds": outcome.seconds, "shipped_accuracy": shipped, "new_accuracy": new}
    row |= {"shipped_bytes": EMBEDDED.stat().st_size, "new_bytes": path.stat().st_size, "worth_keeping": worth}
    session.save("pretrain", [row])
    session.say(
        f"pretrain: {outcome.steps} steps, linear probe {100 * new:.1f} % against {100 * shipped:.1f} % of the shipped "
        f"file; {'worth keeping' if worth else f'less than {GAIN:g} points more'}"
    )


def _probed(session: Session, weights: Path) -> float:
    """Mean of the group means of test accuracy, of linear probing over the embedded suite."""
    asked = Request("linear", tasks=session.sizes.tasks, backbone=f"demo={weights}", epochs=session.sizes.probe_epochs)
    return _mean([execute(run, RunSettings(session.device)) for run in grid_of(asked)])


def _mean(records: Sequence[Record]) -> float:
    groups: dict[str, list[float]] = {}
    for record in records:
        groups.setdefault(record.group, []).append(record.score.test_accuracy or 0.0)
    return fmean(map(fmean, groups.values()))
