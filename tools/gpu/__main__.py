"""Check a GPU: planned against measured memory, the command line, speed, kept features, and a new checkpoint.

`python -m tools.gpu --minutes 8` works through its stages in order of worth and saves each result as soon as it is
there, as CSV in results/measured/, with card, driver, versions, date, commit and command; `python bench.py report gpu`
draws them. It needs no network. `--dry-run` tries every stage on the CPU at tiny size and keeps nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from rich.console import Console

from results import numbered
from tools.gpu.cached import compare_cached, project_hours
from tools.gpu.checkpoint import pretrain_checkpoint
from tools.gpu.command_line import check_waiting, run_embedded, run_vtab_task
from tools.gpu.memory import compare_memory
from tools.gpu.screen import Screen
from tools.gpu.session import DRY, FULL, Session
from tools.gpu.speed import measure_loop, measure_speed

ROOT = Path(__file__).resolve().parent.parent.parent
STAGES = {
    "memory": compare_memory,
    "embedded": run_embedded,
    "waiting": check_waiting,
    "vtab": run_vtab_task,
    "speed": measure_speed,
    "loop": measure_loop,
    "cached": compare_cached,
    "hours": project_hours,
    "pretrain": pretrain_checkpoint,
}


def main() -> int:
    """Exit code 1 when anything failed."""
    options = _options()
    if not options.dry_run and not torch.cuda.is_available():
        sys.exit("error: no CUDA device is available here; --dry-run tries every stage on the CPU")
    with tempfile.TemporaryDirectory() as folder:
        results = options.results or (Path(folder) if options.dry_run else ROOT / "results")
        stages = options.stages.split(",")
        screen = Screen(Console(), stages, options.minutes)
        session = Session(
            torch.device("cpu" if options.dry_run else "cuda"), DRY if options.dry_run else FULL, results,
            options.minutes, options.commit, screen,
        )  # fmt: skip
        with screen:
            for stage in stages:
                session.run(stage, STAGES[stage])
        for path in sorted((results / "measured").glob("gpu_*.csv")):
            session.say(f"wrote {path}")
        session.say(f"done, {numbered(len(session.failures), 'failure')}")
    return int(bool(session.failures))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="no stage begins, and none goes on, after these")
    parser.add_argument("--stages", default=",".join(STAGES), help=f"some of {','.join(STAGES)}")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on the CPU")
    parser.add_argument("--results", type=Path, help="folder in which measured/ lies; else the checkout's results")
    parser.add_argument("--commit", help="of a copy of the checkout that has no history")
    options = parser.parse_args()
    if unknown := set(options.stages.split(",")) - set(STAGES):
        parser.error(f"no stage {unknown.pop()!r}; known: {', '.join(STAGES)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
