"""Class token, VQT and SynQT features of test images in the plane, by t-SNE (SynQT, appendix Figure 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from reports.figures.labels import name_points
from reports.figures.style import WIDE, panels, shown
from reports.tables.captions import conditions
from reports.tables.comparison import Comparison, comparisons
from reports.tables.kept_features import Arrays, kept_by_line, pick
from reports.tables.table import Figure

__all__ = ["embedded", "report"]

METHODS = ("linear", "vqt", "synqt")  # whose features the figure compares, in its order
TASKS = ("clevr_count", "dmlab", "dsprites_loc")  # those of the paper, where they are there
ROWS = 3  # of tasks
IMAGES, STEPS = 300, 600  # half a second for each panel
SIDE, SIZE = WIDE / 3, 6.0  # inches of a panel, points of the type
FEWEST = 3  # images that t-SNE needs more than
MARKERS = "os^Dv<>PX*ph"
LEGEND = (
    "t-SNE (scikit-learn, perplexity {perplexity:g}, from principal components, random state 0) of what the head "
    "reads, up to {count} test images; one seed. Class token: the frozen backbone's feature, which `linear` reads. The "
    "number of a class stands by the median of its images. Distances between far groups mean little."
)
Lines = Mapping[str, Mapping[str, Arrays]]  # by line, then by task


def report(runs: pd.DataFrame) -> list[Figure]:
    """A figure for each suite, backbone and recipe in which features of some of the methods were kept."""
    return list(filter(None, map(_figure, comparisons(runs))))


def embedded(features: np.ndarray, perplexity: float) -> np.ndarray:
    """Compute places in the plane (n×2) by t-SNE, the same every time."""
    from sklearn.manifold import TSNE  # here, because it takes a second to import

    scaled = features / (features.std() or 1.0)
    fit = TSNE(2, perplexity=perplexity, max_iter=STEPS, init="pca", learning_rate="auto", random_state=0)
    points: np.ndarray = fit.fit_transform(scaled.astype(np.float64))
    return points


def _figure(comparison: Comparison) -> Figure | None:
    known = kept_by_line(comparison, lambda label: label.split(":")[0].split(" ")[0] in METHODS)
    lines = {line: known[line] for line in sorted(known, key=_rank)}
    tasks = _tasks(lines)
    if not tasks:
        return None
    known_images = [len(arrays["labels"]) for by_task in lines.values() for arrays in by_task.values()]
    perplexity = min(30.0, max(1.0, (min(known_images) - 1) / 3))
    count = min(IMAGES, max(known_images))
    caption = f"{conditions(comparison)} {LEGEND.format(perplexity=perplexity, count=count)}"
    size = max(4.2, SIDE * len(lines)), 0.93 * SIDE * len(tasks)
    with panels(len(tasks), len(lines), *size, grid=False) as (drawing, table):
        medians = [
            (each, _draw(each, by_task.get(task), perplexity))
            for row, task in zip(table, tasks, strict=True)
            for each, by_task in zip(row, lines.values(), strict=True)
        ]
        for row, task in zip(table, tasks, strict=True):
            row[0].set_ylabel(task)
        for each, line in zip(table[0], lines, strict=True):
            each.set_title(f"class token ({line})" if line.startswith("linear") else line, fontsize=7.5)
    for each, middles in medians:
        _name(each, middles)
    return Figure(f"tsne-{comparison.name}", caption, drawing)


def _rank(line: str) -> tuple[int, str]:
    return METHODS.index(line.split(":")[0].split(" ")[0]), line


def _tasks(lines: Lines) -> Sequence[str]:
    """Those of the paper if all are there, else the first of which most lines kept something."""
    counts: dict[str, int] = {}
    for by_task in lines.values():
        for task, arrays in by_task.items():
            counts[task] = counts.get(task, 0) + (len(arrays["labels"]) > FEWEST)
    best = [task for task in counts if counts[task] == max(counts.values()) > 0]
    return TASKS if set(TASKS) <= set(best) else best[:ROWS]


def _draw(axes: Axes, arrays: Arrays | None, perplexity: float) -> dict[str, tuple[float, float]]:
    """A colour and a marker for each class; returns the median of its images."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("0.8")
    if arrays is None or len(arrays["labels"]) <= FEWEST:
        return {}
    chosen = pick(arrays["labels"], IMAGES)
    points, labels = embedded(arrays["features"][chosen], perplexity), arrays["labels"][chosen]
    classes = sorted(set(labels.tolist()))
    colors = mpl.colormaps["viridis"](np.linspace(0.0, 0.95, len(classes)))
    for number, (label, color) in enumerate(zip(classes, colors, strict=True)):
        own = points[labels == label]
        marker = MARKERS[number % len(MARKERS)]
        axes.scatter(own[:, 0], own[:, 1], s=5, marker=marker, color=color, linewidths=0)
    middles = {str(label): np.median(points[labels == label], axis=0) for label in classes}
    return {label: (float(x), float(y)) for label, (x, y) in middles.items()}


def _name(axes: Axes, middles: Mapping[str, tuple[float, float]]) -> None:
    """Write the number of each class by its median, none on another. The layout must be final."""
    before = len(axes.texts)
    name_points(axes, list(middles.values()), [shown(label) for label in middles], widths=[0.0] * len(middles),
                textsize=SIZE, fontweight="bold", draw_lines=False, max_distance=0.2)  # fmt: skip
    for text in axes.texts[before:]:
        text.set_path_effects([withStroke(linewidth=1.6, foreground="white")])
