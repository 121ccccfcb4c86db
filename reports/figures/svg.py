"""Drawings as SVG for the page: whole, or each panel alone, whose points the page can find by their names."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Drawing

__all__ = ["panels", "whole"]

OPTIONS: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "petl-bench"}  # text as text; the same bytes again
MARGIN = 0.03  # inches around a panel


def whole(drawing: Drawing) -> bytes:
    """Return the drawing on a transparent ground, as a file."""
    return _saved(drawing)


def panels(drawing: Drawing, key: str) -> list[str]:
    """Return an `svg` element for each pair of axes, with both scales labelled, to be put into an HTML page.

    What is drawn of a point has its name as `data-point`. All other ids begin with `key`, so that several drawings fit
    one page. The legend is left out. The layout of the drawing must be final.
    """
    every = list(drawing.axes)
    label = every[0].get_ylabel()
    legends = [legend for legend in drawing.legends if legend.get_visible()]
    for legend in legends:
        legend.set_visible(False)
    found = []
    for place, axes in enumerate(every):
        for other in every:
            other.set_visible(other is axes)
        before = axes.get_ylabel(), axes.yaxis.get_tick_params().get("labelleft", True)
        axes.set_ylabel(label)
        axes.tick_params(labelleft=True)
        box = axes.get_tightbbox()
        assert box is not None
        inches = box.transformed(drawing.dpi_scale_trans.inverted()).padded(MARGIN)
        found.append(_element(_saved(drawing, bbox_inches=inches).decode(), f"{key}-{place}-"))
        axes.set_ylabel(before[0])
        axes.tick_params(labelleft=before[1])
    for artist in (*every, *legends):
        artist.set_visible(True)
    return found


def _saved(drawing: Drawing, **options: Any) -> bytes:
    file = io.BytesIO()
    with mpl.rc_context(OPTIONS):
        drawing.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None}, **options)
    return file.getvalue()


def _element(text: str, key: str) -> str:
    """The element alone, without a style sheet, whose rules would be those of the whole page."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*|<style.*?</style>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="dot:', 'data-dot data-point="', text)
    text = re.sub(r'\bid="point:', 'data-point="', text)
    text = re.sub(r'\bid="frontier"', "data-frontier", text)
    text = re.sub(r'\bid="([^"]*)"', rf'id="{key}\1"', text)
    return re.sub(r'(xlink:href="#|url\(#)', rf"\1{key}", text)
