"""The one training loop, for every method, task and device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from bench.data.batches import Normaliser, Training, passes, steps_by_epoch, steps_in_epoch
from bench.train.optimizer import release, set_rate
from bench.train.schedule import rate_at
from bench.train.step import Scores, TrainState, lower_frozen, train_step
from methods import Network
from methods.recipe import Recipe

__all__ = ["Diverged", "Epoch", "train"]


class Diverged(Exception):
    """The loss is no longer a finite number; the message says when."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave. Loss and accuracy are means over the images seen, before each update.

    The right answer to a mixed image is the class that has the largest share of it.
    """

    number: int  # of its stage, from 1
    loss: float
    accuracy: float
    seconds: float
    of_run: int = 0  # the number counted on through all stages; a run that is done again begins again at 1


def train(
    network: Network,
    split: Training,
    normalise: Normaliser,
    recipe: Recipe,
    seed: int,
    after: Callable[[Epoch], None],
) -> None:
    """Train in place, frozen weights in the recipe's precision; `after` is called, off the clock, after each epoch.

    Raises Diverged after the first epoch whose mean loss is not finite.
    """
    lower_frozen(network, recipe.precision)
    state = TrainState.of(network, recipe, split.labels.device.type)
    steps = steps_in_epoch(len(split.labels), recipe)
    with closing(passes(split, recipe, seed)) as drawn:
        for number, count in enumerate(steps_by_epoch(recipe, steps)):
            network.train()
            started, scores = time.perf_counter(), Scores()
            for step, (images, labels) in enumerate(islice(drawn, count)):
                set_rate(state.optimizer, network.lr_scale * rate_at(recipe, number, step, steps))
                train_step(state, images if isinstance(images, dict) else normalise(images), labels, scores)
            loss, correct = scores.means()
            epoch = Epoch(number + 1, loss, correct, time.perf_counter() - started)
            if not math.isfinite(epoch.loss):
                raise Diverged(f"the loss was {epoch.loss} in epoch {epoch.number} of {recipe.epochs}")
            after(epoch)
    release(state.optimizer)
