"""What a method costs without training it: planned anywhere, measured on a device where there is one."""

from __future__ import annotations

import dataclasses

import torch

from bench.cost.budget import needed
from bench.cost.case import Case
from bench.cost.flops import inference_macs, utilisation
from bench.cost.measure import measure
from bench.cost.plan import plan, plan_inference
from bench.cost.reserved import LARGEST_WORKSPACE, allocator_peaks, workspace_bytes
from bench.provenance import where
from bench.source_digest import planning_digest
from bench.train.network import count
from methods import Unsupported
from results import CostRecord, Figures

__all__ = ["PARTS", "cost_of", "measurable", "planned"]

PARTS = ("weights", "batch", "features", "activations", "gradients", "optimizer")  # of a peak, all that there are


def cost_of(case: Case, device: torch.device | None = None) -> CostRecord:
    """Return the cost of a case: planned, and measured too where a device is given and can follow the rules.

    What the backbone cannot carry is a result with the reason. Raises ValueError when a setting does not fit it.
    """
    device = device if measurable(case) else None
    try:
        figures = planned(case, _workspace(device))
        if device is not None:
            measured = dataclasses.asdict(measure(case, device))
            figures = _used(dataclasses.replace(figures, **measured), case, device)
        return _record(case, device, figures)
    except Unsupported as error:
        return _record(case, device, Figures(), "unsupported", str(error))
    except torch.OutOfMemoryError as error:
        return _record(case, device, figures, "oom", str(error).splitlines()[0])


def measurable(case: Case) -> bool:
    """Return whether a device of today can follow the rules of the case."""
    return case.rules.autograd == "current"


def planned(case: Case, workspace: int = LARGEST_WORKSPACE) -> Figures:
    """Plan counts, peaks and work, without weights or memory, on a card where cuBLAS takes `workspace` bytes."""
    size, recipe = case.image_size, case.recipe
    training, inference = case.training(), case.inference()
    counts = dataclasses.asdict(count(training))
    checkpoint_bytes = sum(p.numel() * p.element_size() for p in training.parameters() if p.requires_grad)
    macs, macs_modules = inference_macs(inference, size)
    peak = plan(training, size, recipe, case.rules)
    parts, allocator = peak.breakdown(), allocator_peaks(peak, workspace)
    return Figures(
        **counts,
        planned_peak_bytes=peak.total,
        planned_allocated_bytes=allocator.allocated,
        planned_reserved_bytes=allocator.reserved,
        planned_breakdown={part: parts.pop(part, 0) for part in PARTS} | parts,
        needed_bytes=needed(allocator.reserved),
        inference_peak_bytes=plan_inference(inference, size, recipe, case.rules).total,
        macs=macs,
        macs_modules=macs_modules,
        train_flops_frozen=round(peak.frozen_flops / recipe.batch_size),
        train_flops_trained=round(peak.trained_flops / recipe.batch_size),
        checkpoint_bytes=checkpoint_bytes,
    )


def _workspace(device: torch.device | None) -> int:
    known = device is not None and device.type == "cuda"
    return workspace_bytes(torch.cuda.get_device_name(device)) if known else LARGEST_WORKSPACE


def _used(figures: Figures, case: Case, device: torch.device) -> Figures:
    """Return the figures with the share of the device's peak."""
    if device.type != "cuda" or figures.train_images_per_second is None:
        return figures
    flops = (figures.train_flops_frozen or 0) + (figures.train_flops_trained or 0)
    name = torch.cuda.get_device_name(device)
    share = utilisation(flops, figures.train_images_per_second, name, case.recipe.precision)
    return dataclasses.replace(figures, utilisation=share)


def _record(
    case: Case, device: torch.device | None, figures: Figures, status: str = "ok", reason: str | None = None
) -> CostRecord:
    return CostRecord(
        conditions=case.conditions(),
        settings=dataclasses.asdict(case.method),
        figures=figures,
        status=status,  # type: ignore[arg-type]
        reason=reason,
        code=planning_digest(case.method.name),
        where=where(device or torch.device("cpu")),
        measured=device is not None,
    )
