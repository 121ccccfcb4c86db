"""Ends trials early that are doing worse than the median of the others: Optuna's MedianPruner, in every process.

After each epoch but the last, whatever process does a trial reports its validation accuracy to the study, whose journal
all processes share, and asks. A trial that is ended leaves no record; the journal says that it was pruned, so that no
process begins it again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import optuna
from optuna.pruners import MedianPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from bench.run import Run, record_of

__all__ = ["EarlyStop", "storage_of"]


def storage_of(journal: Path) -> JournalStorage:
    """Return the journal file of a search as Optuna's storage, which any number of processes may open."""
    optuna.logging.set_verbosity(logging.WARNING)
    return JournalStorage(JournalFileBackend(str(journal), lock_obj=JournalFileOpenLock(str(journal))))


@dataclass(frozen=True)
class EarlyStop:
    """Decides for some runs, each of them the only one of its trials; `bench.settings.RunSettings` takes it along."""

    journal: Path
    trials: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)  # study and number, by run's record

    def was_ended(self, run: Run) -> bool:
        """Return whether another process has ended the trials of the run early."""
        found = [trial for _, trial in self._trials(run)]
        return bool(found) and all(trial.state is TrialState.PRUNED for trial in found)

    def ends(self, run: Run, epochs: int, accuracy: float) -> bool:
        """Report the accuracy after so many epochs, and return whether the run is to end; its trials are then over."""
        prune = False
        for study, trial in self._trials(run):
            if not trial.state.is_finished():
                open_trial = optuna.Trial(study, trial._trial_id)
                if epochs not in trial.intermediate_values:  # a process that was killed may have reported it
                    open_trial.report(accuracy, epochs)
                prune = prune or open_trial.should_prune()
        if prune:
            for study, trial in self._trials(run):
                study.tell(trial.number, state=TrialState.PRUNED, skip_if_finished=True)
        return prune

    def _trials(self, run: Run) -> Iterator[tuple[optuna.Study, FrozenTrial]]:
        for name, number in self.trials.get(record_of(run), ()):
            study = _study(self.journal, name, run.recipe.warmup_epochs)
            yield study, study.get_trials(deepcopy=False)[number]


@cache
def _study(journal: Path, name: str, warmup_epochs: int) -> optuna.Study:
    """Load a study, whose pruner says nothing before the first epoch at full rate is over."""
    pruner = MedianPruner(n_startup_trials=5, n_warmup_steps=warmup_epochs + 1)
    return optuna.load_study(study_name=name, storage=storage_of(journal), pruner=pruner)
