"""The look of all figures: the theme, the type, and the colour and marker of each method.

Captions stand below a figure on the page, never in the picture.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure as Drawing
from matplotlib.figure import SubFigure
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike

__all__ = [
    "FAMILIES",
    "HEIGHT",
    "LABEL",
    "MARKER",
    "PARTS",
    "WIDE",
    "Look",
    "dot_id",
    "draw_bars",
    "draw_method",
    "drawn_in",
    "family_of",
    "first_axes",
    "keep_ticks",
    "label_edges",
    "logarithmic",
    "look",
    "panel",
    "panels",
    "point_id",
    "settle",
    "shown",
    "theme",
]

_part: ContextVar[SubFigure | None] = ContextVar("_part", default=None)  # of a figure of one's own, for `drawn_in`
WIDTH, HEIGHT = 5.2, 3.2  # inches
WIDE = 7.0  # inches: both columns of a paper
MARKER = 5.5  # width in points
LABEL = 6.5  # points of the type of labels

# Seaborn's colourblind palette, whose colours also differ in lightness; within a family the marker tells methods apart.
COLORS = sns.color_palette("colorblind").as_hex()
FAMILIES = {  # as the methods themselves say, in the order in which `list methods` has them
    "bounds": ("#000000", {"full": "o", "linear": "s"}),
    "selective tuning": (
        COLORS[8],
        {"bitfit": "s", "layernorm": "^", "partial": "D", "diffit": "v", "ssf": ">", "apla": "P"},
    ),
    "prompts": (COLORS[2], {"vpt_deep": "s", "vpt_shallow": "D"}),
    "adapters": (
        COLORS[9],
        {"adapter": "^", "adaptformer": "v", "convpass": "P", "convpass_attn": "p", "noah": "h", "repadapter": "d"},
    ),
    "low-rank updates": (
        COLORS[4],
        {"lora": "o", "lora_fa": "s", "dora": "D", "vera": "^", "pvera": "v", "fact_tk": "X", "fact_tt": "<"},
    ),
    "side networks": (
        COLORS[3],
        {
            "dtl": "o",
            "dtl_plus": "s",
            "lst": "D",
            "synqt": "*",
            "side_tuning": "v",
            "unipt": "P",
            "sherl": "X",
            "res_tuning_bypass": "p",
        },
    ),
    "intermediate features": (COLORS[0], {"head2toe": "s", "vqt": "^"}),
}
UNKNOWN = ("other methods", COLORS[7], "osD^vPX<>hdp")
DARKER = {COLORS[8]: "#8A8200"}  # for lines: yellow is hard to see
PARTS = {  # of a peak, in the order in which they are stacked; no colour is that of methods
    "weights": "#4D4D4D",
    "batch": "#B8B8B8",
    "optimizer": "#E69F00",
    "gradients": "#882255",
    "features": "#44AA99",
    "activations": "#0072B2",
}

FIRST = "DejaVu Sans"  # comes with matplotlib, so that labels take the same room on every machine
SCRIPTS = (
    "Noto Sans CJK",
    "Source Han Sans",
    "WenQuanYi",
    "Droid Sans Fallback",
    "Noto Sans",
    "IPA",
    "Unifont",
    "Arial U",
)


@dataclass(frozen=True)
class Look:
    """The colour and marker of a method; `family` says in words what methods of one colour share."""

    family: str
    color: str
    marker: str

    @property
    def size(self) -> float:
        """The factor by which the marker is drawn larger than others: a star looks small."""
        return 1.45 if self.marker == "*" else 1.0

    @property
    def line(self) -> str:
        """The colour of a line, which is darker where one in the method's own is hard to see."""
        return DARKER.get(self.color, self.color)


def look(method: str) -> Look:
    """Return how a method looks in every figure, by its name; its settings change nothing."""
    name = re.split(r"[: (]", method)[0]
    for family, (color, markers) in FAMILIES.items():
        if name in markers:
            return Look(family, color, markers[name])
    family, color, choices = UNKNOWN
    return Look(family, color, choices[hashlib.sha256(name.encode()).digest()[0] % len(choices)])


def family_of(method: str) -> str:
    """Return the family of a method in words."""
    return look(method).family


def draw_method(
    axes: Axes,
    method: str,
    x: ArrayLike,
    y: ArrayLike,
    *,
    spread: Any = None,
    size: float = MARKER,
    line: str = "",
    hollow: bool = False,
    **more: Any,
) -> ErrorbarContainer:
    """Draw the marker of a method at one or more points, in the colour of its family.

    Args:
        spread: Deviations of `y`, drawn as bars; None or zeros draw none.
        size: Width of the marker in points.
        line: Style of a line through the points; none if empty.
        hollow: Leave the marker white, for numbers that a publication printed.
        more: Passed on to matplotlib's `errorbar`.
    """
    style = look(method)
    return axes.errorbar(
        x,
        y,
        yerr=spread if spread is not None and np.any(spread) else None,
        **{
            "color": style.line,
            "ecolor": "0.3",
            "elinewidth": 0.6,
            "linestyle": line,
            "linewidth": 0.9,
            "marker": style.marker,
            "markersize": size * style.size,
            "markerfacecolor": "white" if hollow else style.color,
            "markeredgecolor": "black",
            "markeredgewidth": 0.5,
            "zorder": 2.5 if hollow else 3,
            **more,
        },
    )


def dot_id(name: str) -> str:
    """Return the id of the marker of a point in an SVG, by which the page finds it."""
    return f"dot:{name}"


def point_id(name: str) -> str:
    """Return the id in an SVG of what else is drawn of a point: its name, and its error bar."""
    return f"point:{name}"


def draw_bars(axes: Axes, labels: Sequence[str], widths: Sequence[float], *, color: str = "", left: float = 0) -> None:
    """Draw a bar for each method from the top down, each in the colour of its family unless a colour is given."""
    colors = [color or look(label).color for label in labels]
    positions = range(len(labels))
    axes.barh(positions, widths, left=left, color=colors, height=0.68, edgecolor="black", linewidth=0.4)
    axes.set_yticks(positions, labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


@contextmanager
def panel(x: str, y: str, height: float = HEIGHT) -> Iterator[tuple[Drawing, Axes]]:
    """Give a drawing with one pair of axes, to be filled in the context."""
    with panels(1, 1, WIDTH, height) as (drawing, rows):
        axes = rows[0][0]
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        yield drawing, axes


@contextmanager
def panels(
    rows: int, columns: int, width: float, height: float, *, grid: bool = True, **share: Any
) -> Iterator[tuple[Drawing, Sequence[Sequence[Axes]]]]:
    """Give a drawing with rows of axes, to be filled in the context; after it, the layout is final."""
    with theme(grid=grid):
        drawing = _part.get() or Drawing(figsize=(width, height), dpi=200, layout="constrained")
        _part.set(None)
        if isinstance(drawing, Drawing):
            FigureCanvasAgg(drawing)
        table = drawing.subplots(rows, columns, squeeze=False, **share)
        keep_ticks(table.flat)
        yield cast(Drawing, drawing), table.tolist()
        settle(drawing)


def keep_ticks(axes: Iterable[Axes]) -> None:
    """Let axes have the same ticks when they are saved as here; their number follows from the size of the type."""
    for each in axes:
        each.tick_params(axis="x", labelsize=mpl.rcParams["xtick.labelsize"])
        each.tick_params(axis="y", labelsize=mpl.rcParams["ytick.labelsize"])


def first_axes(table: Sequence[Sequence[Axes]], count: int) -> list[Axes]:
    """Return the first `count` axes, row by row; the others are switched off."""
    axes = [each for row in table for each in row]
    for each in axes[count:]:
        each.set_axis_off()
    return axes[:count]


def label_edges(table: Sequence[Sequence[Axes]], count: int, x: str, y: str) -> list[Axes]:
    """Label the left axes, and the lowest of the first `count` in each column; return these."""
    for row in table:
        row[0].set_ylabel(y)
    lowest = [each for row in table for each in row][max(0, count - len(table[0])) : count]
    for each in lowest:
        each.set_xlabel(x)
    return lowest


@contextmanager
def drawn_in(axes: Axes) -> Iterator[Drawing]:
    """Let the first drawing that is made in the context take the place of `axes`, which go; others stay apart."""
    cell = axes.get_subplotspec()
    if cell is None:
        raise ValueError("axes with a place of their own cannot be drawn in; make them with subplots or a GridSpec")
    figure = axes.get_figure()
    assert figure is not None
    axes.remove()
    part = figure.add_subfigure(cell)
    for asked in ("draw_without_rendering", "get_size_inches"):  # by textalloc, of the figure that axes are in
        setattr(part, asked, getattr(figure.get_figure(root=True), asked))
    before = _part.set(part)
    try:
        yield cast(Drawing, part)
    finally:
        _part.reset(before)


def settle(drawing: Drawing | SubFigure) -> None:
    """Fix the layout, so that places can be counted in pixels; that of a figure of one's own may still change."""
    whole = drawing.get_figure(root=True)
    if (engine := whole.get_layout_engine()) is not None:
        engine.execute(whole)  # which may change the ticks, and with them the room that they need
    whole.draw_without_rendering()
    if drawing is whole:
        whole.set_layout_engine(None)  # not "none", which keeps a placeholder that makes every save draw twice


@contextmanager
def theme(*, grid: bool = True) -> Iterator[None]:
    """Draw what is made in the context in seaborn's white theme, in the type of all figures."""
    style = sns.axes_style("whitegrid" if grid else "white")
    size = sns.plotting_context("paper", font_scale=0.8)
    ours: dict[Any, Any] = {
        "font.family": family(),
        "font.size": 7.5,
        "axes.titlesize": 7.5,
        "axes.labelsize": 7.5,
        "xtick.labelsize": 7.0,
        "ytick.labelsize": 7.0,
        "legend.fontsize": 7.0,
        "axes.linewidth": 0.6,
        "axes.edgecolor": "0.2",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": "0.93",
        "grid.linewidth": 0.5,
        "xtick.bottom": True,
        "ytick.left": True,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "text.parse_math": False,  # names may hold any character
    }
    with mpl.rc_context(style | size | ours):
        yield


def logarithmic(axes: Axes, which: str, values: Sequence[float] = (), *, base: float = 10, only: bool = False) -> None:
    """Make the axis `x` or `y` logarithmic, with plain numbers at its ticks, and more of them where it spans little.

    With `only`, ticks stand at the values and nowhere else.
    """
    axis, scale = (axes.xaxis, axes.set_xscale) if which == "x" else (axes.yaxis, axes.set_yscale)
    scale("log", base=base)
    subs = (1.0,) if values and max(values) > 30 * min(values) else (1.0, 2.0, 5.0)
    axis.set_major_locator(FixedLocator(sorted(set(values))) if only else LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


@cache
def family() -> list[str]:
    """List the fonts: matplotlib's own, then those of this machine that have many scripts, widest first."""
    there = sorted({font.name for font in font_manager.fontManager.ttflist})
    return [FIRST, *(name for start in SCRIPTS for name in there if name.startswith(start))][:8]


def shown(text: str) -> str:
    """Replace the characters that no font here has by plain ones.

    Names of classes and folders may be in any script. A character without a glyph loses its accent or becomes its
    number, `<5DE6>`, so that two names never look the same and none is a row of boxes.
    """
    return "".join(character if ord(character) in _characters() else _plain(character) for character in text)


@cache
def _characters() -> frozenset[int]:
    paths = [font_manager.findfont(name) for name in family()]
    return frozenset(code for path in paths for code in FT2Font(path).get_charmap())


def _plain(character: str) -> str:
    text = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return text or ("\n" if character == "\n" else f"<{ord(character):04X}>")
