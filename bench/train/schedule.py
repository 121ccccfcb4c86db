"""The learning-rate schedule of a recipe: its highest rate, and the rate of every update."""

from __future__ import annotations

import math

from methods.recipe import Recipe

__all__ = ["base_rate", "rate_at"]


def base_rate(recipe: Recipe) -> float:
    """Return the highest rate: the recipe's, scaled with the batch if the source states it for a batch size."""
    if recipe.lr_batch_size is None:
        return recipe.learning_rate
    return recipe.learning_rate * recipe.batch_size / recipe.lr_batch_size


def rate_at(recipe: Recipe, epoch: int, step: int, steps: int) -> float:
    """Return the learning rate of update `step` of `steps` in `epoch`, all counted from 0."""
    time = epoch + step / steps if recipe.schedule_unit == "step" else float(epoch)
    if recipe.lag:
        time = max(time - 1, 0.0)
    curve = {"warmup_cosine": _warmup_cosine, "timm_cosine": _timm_cosine}[recipe.schedule]
    return curve(recipe, time, _length(recipe, steps))


def _length(recipe: Recipe, steps: int) -> float:
    """Return the end of the cosine, in epochs of `steps` updates."""
    whole = float(recipe.cosine_epochs or recipe.epochs)
    return whole if recipe.steps is None else min(whole, recipe.steps / steps)


def _warmup_cosine(recipe: Recipe, time: float, length: float) -> float:
    """Linear warm-up, then a cosine over the epochs that are left (VPT, VQT by epoch; SynQT by step)."""
    peak, warmup = base_rate(recipe), recipe.warmup_epochs
    if time < warmup:
        return recipe.warmup_lr + (peak - recipe.warmup_lr) * time / warmup
    return _cosine(peak, recipe.min_lr, (time - warmup) / max(1, length - warmup))


def _timm_cosine(recipe: Recipe, time: float, length: float) -> float:
    """timm's scheduler: warm-up is no prefix, the cosine counts from epoch 0 (NOAH, PETL-ViT, DTL)."""
    peak = base_rate(recipe)
    if time < recipe.warmup_epochs:
        return recipe.warmup_lr + time * (peak - recipe.warmup_lr) / recipe.warmup_epochs
    return _cosine(peak, recipe.min_lr, time / length)


def _cosine(peak: float, final: float, share: float) -> float:
    return final + 0.5 * (peak - final) * (1 + math.cos(math.pi * min(share, 1.0)))
