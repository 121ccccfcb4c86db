"""The page: one file with everything, which a real browser opens without a network, a complaint or a wide body."""

import html
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from reports import find, write_all
from reports.conclusions import conclusions
from reports.formats import frames, latex
from reports.formats import html as page
from reports.tables.table import METRICS, Cell, Column, Table
from results import frame, save, save_cost, save_measured
from tests.reports.browser import CHROMIUM, Browser
from tests.reports.test_cost_reports import record as cost_record
from tests.reports.test_reports import ODD
from tests.reports.test_speed_report import row as speed_row


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, grid, make) -> Path:
    """The page of a small grid, a method with an odd name, some costs, and a speed of another machine."""
    folder = tmp_path_factory.mktemp("page")
    for one in [*grid, make(ODD, accuracy=0.4)]:
        save(folder / "results", one)
    for start in (1, 7, 12):
        save_cost(folder / "results", cost_record(f"dtl:start={start}", 5 - start / 4, {"start": start}))
    save_measured(folder / "results", "speed", [speed_row("lora", 2.0, 1.0, 0.0) | {"device": "NVIDIA H200"}])
    write_all(folder / "results", None, folder / "out", Console(file=io.StringIO(), width=100))
    return folder / "out" / page.NAME


class Read(HTMLParser):
    """Collects addresses, headings and the ids of sections; counts images and tags that are open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.headings: list[str] = []
        self.images = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [values[key] or "" for key in ("href", "src") if key in values]
        self.ids += [values["id"] or ""] if "id" in values and tag == "section" else []
        self.images += tag == "img"
        if tag not in ("meta", "link", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.headings += [data] if self.open and self.open[-1] == "h3" else []


def test_it_is_one_well_formed_file_that_fetches_nothing(written: Path) -> None:
    read = Read(written.read_text())
    assert not read.open
    assert all(address.startswith(("data:", "#")) for address in read.addresses)
    assert {address[1:] for address in read.addresses if address.startswith("#")} == set(read.ids)
    assert {"accuracy", "tradeoff", "leaderboard", "convergence", "dtl_start", "cost", "run"} <= set(read.ids)
    assert read.images == len(list(written.parent.glob("*.png"))) - written.read_text().count('class="plot"')
    assert "speed" not in read.ids  # which another machine measured


def test_it_is_written_for_people(written: Path, runs: pd.DataFrame) -> None:
    text = written.read_text()
    headings = Read(text).headings
    assert {"Accuracy on the embedded suite", "Training on the embedded suite"} <= set(headings)
    assert not [heading for heading in headings if "-demo" in heading]
    assert text.count("backbone vit_b16, recipe common: epochs 100") == 2  # above all, and under what was run
    header = text[: text.index("</header>")]
    assert all(html.escape(sentence) in header for sentence in conclusions(runs)[1:])
    assert (
        page.heading("ranks-a-b-table", {"a": "A", "a-b": "A, recipe b"})
        == "Ranks over tasks on A, recipe b, in numbers"
    )
    assert "bars: 95 % interval of the mean over seeds" in text.lower()


def test_a_trade_off_of_one_method_is_a_sentence(make, tmp_path: Path) -> None:
    runs = frame([make("lora")])
    text = page.write({"tradeoff": find("tradeoff")(runs)}, runs, None, tmp_path).read_text()
    assert "Nothing is drawn: a trade-off takes two methods" in text
    assert "<svg" not in text


def test_it_says_what_was_run_and_by_which_command(written: Path) -> None:
    text = written.read_text()
    run = text[text.index('<section id="run">') :]
    for said in ("recipe common", "backbone vit_b16", "<code>python bench.py</code>", "torch 2.11.0", "abcdef0123"):
        assert said in run
    assert re.search(r"From \d+ runs and 3 cost records, the newest of 2026-01-01", text)


def test_costs_alone_make_a_page_too(tmp_path: Path) -> None:
    save_cost(tmp_path, cost_record("lora", 4.0))
    write_all(tmp_path, None, tmp_path / "out", Console(file=io.StringIO(), width=100))
    read = Read((tmp_path / "out" / page.NAME).read_text())
    assert read.ids == ["run", "cost"]


def test_all_files_are_there_before_anything_is_shown(written: Path, tmp_path: Path) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("the screen is gone")

    with pytest.raises(OSError, match="the screen is gone"):
        write_all(written.parents[1] / "results", ["accuracy"], tmp_path, Console(file=Gone(), width=100))
    assert {path.suffix for path in tmp_path.iterdir()} == {".md", ".tex", ".csv"}


def test_some_reports_leave_the_page_alone(written: Path) -> None:
    before = written.stat().st_mtime_ns
    write_all(written.parents[1] / "results", ["accuracy"], written.parent, Console(file=io.StringIO(), width=100))
    assert written.stat().st_mtime_ns == before


def test_a_table_escapes_words_and_marks_the_best() -> None:
    columns = Column("method", "method"), Column("score", "a <b>", "<c>", metric=METRICS["test_accuracy"])
    rows = (Cell(word="<x>"), Cell(0.51234, 0.01)), (Cell(word="y"), Cell(0.4)), (Cell(word="z"), Cell(word="<oom>"))
    text = page.table(Table("t", "", columns, rows))
    assert "<b>51.2</b><small>±1.0</small>" in text
    assert "<i>&lt;oom&gt;</i>" in text
    assert all(word in text for word in ("&lt;x&gt;", "a &lt;b&gt;", "&lt;c&gt;"))
    assert page.prose("c & d by `make <x>`") == "c &amp; d by <code>make &lt;x&gt;</code>"


@pytest.fixture(scope="module")
def browser(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium here; on Debian: apt-get install chromium")
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.open(written.as_uri())
        yield opened


def test_a_browser_opens_it_without_a_complaint_or_a_request(browser: Browser) -> None:
    assert browser.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 300)")
    assert browser.said == []
    assert all(address.startswith(("file:", "data:")) for address in browser.asked)


PLOT = "document.querySelector('#tradeoff .plot')"
DOT = f"{PLOT}.querySelector('[data-dot][data-point=\"{{}}\"]')"
SHOWN = f"[...{PLOT}.querySelectorAll('.panels > :first-child [data-dot]:not(.out)')].map(dot => dot.dataset.point)"
STEPS = """[...document.querySelectorAll('#tradeoff svg')].map(svg => {
  const line = svg.querySelector('[data-frontier] path').getAttribute('d');
  const dots = [...svg.querySelectorAll('[data-dot]:not(.out)')].map(dot => dot.getBBox());
  const corners = [...line.matchAll(/[MH]([\\d.]+)[ V]([\\d.]+)/g)].map(match => match.slice(1).map(Number));
  const under = ({x, y, width, height}) => corners.some(([a, b]) =>
    Math.abs(x + width / 2 - a) < 0.01 && Math.abs(y + height / 2 - b) < 0.01);
  return [corners.length, dots.filter(under).length];
})"""


def test_the_pointer_shows_all_that_is_known_of_a_point(browser: Browser) -> None:
    browser.point(DOT.format("dtl"))
    tip = f"{PLOT}.querySelector('.tip')"
    assert not browser.evaluate(f"{tip}.hidden")
    said = browser.evaluate(f"{tip}.textContent")
    assert said.startswith("dtl side networks")
    for words in (
        "settingsrank 4",
        "peak memory (MiB): planned1700",
        "mean accuracy (%): of 3 groups",
        "natural: cifar",
    ):
        assert words in said
    assert browser.evaluate(f"{PLOT}.querySelectorAll('.at text').length") == 2  # a name in each panel
    browser.point("document.querySelector('h1')")
    assert browser.evaluate(f"{tip}.hidden")


def test_a_budget_and_families_choose_what_is_shown_and_the_frontier_joins_it(browser: Browser) -> None:
    everything = browser.evaluate(SHOWN)
    assert all(corners == on >= 2 for corners, on in browser.evaluate(STEPS))
    browser.drag(f"{PLOT}.querySelector('[type=range]')", 0.3)
    fitting = browser.evaluate(SHOWN)
    assert "dtl" in fitting
    assert "full" not in fitting
    assert len(fitting) < len(everything)
    assert f": {len(fitting)} of {len(everything)}" in browser.evaluate(f"{PLOT}.querySelector('output').textContent")
    assert all(corners == on >= 1 for corners, on in browser.evaluate(STEPS))
    browser.click(f"{PLOT}.querySelector('[value=\"side networks\"]')")
    assert browser.evaluate(SHOWN) == [name for name in fitting if name != "dtl"]
    assert all(corners == on for corners, on in browser.evaluate(STEPS))


@pytest.mark.parametrize("width", [500, 1400])
def test_nothing_is_cut_off(browser: Browser, width: int) -> None:
    browser.resize(width, 900)
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wide = "[...document.querySelectorAll('h1, h2, h3, p, li, svg, img, figcaption, .tools > *')]"
    edges = browser.evaluate(f"{wide}.map(part => part.getBoundingClientRect().right)")
    assert max(edges) <= width
    browser.evaluate("document.querySelector('#accuracy .scroll').scrollLeft = 1e4")
    name = "document.querySelector('#accuracy {} th').getBoundingClientRect().left"
    assert browser.evaluate(name.format("tbody")) == browser.evaluate(name.format("thead")) < 100  # stay in their place
    panels = browser.evaluate(f"[...{PLOT}.querySelectorAll('svg')].map(svg => svg.getBoundingClientRect().width)")
    assert all(panel > 400 for panel in panels)


COLUMN = "[...document.querySelector('#accuracy tbody').rows].map(row => row.cells[{}].textContent)"
HEADING = "document.querySelector('#accuracy thead tr:last-child').cells[{}]"


def test_a_click_on_a_heading_sorts_the_table_the_better_end_first(browser: Browser) -> None:
    place = browser.evaluate(
        "[...document.querySelector('#accuracy thead tr:last-child').cells].findIndex(c => c.textContent === 'cifar')"
    )
    before = browser.evaluate(COLUMN.format(place))
    browser.click(f"{HEADING.format(place)}.firstChild")
    assert browser.evaluate(f"{HEADING.format(place)}.getAttribute('aria-sort')") == "descending"
    numbers = [float(cell.partition("±")[0]) for cell in browser.evaluate(COLUMN.format(place)) if cell]
    assert numbers == sorted(numbers, reverse=True)
    browser.click(f"{HEADING.format(place)}.firstChild")
    upward = browser.evaluate(COLUMN.format(place))
    numbers = [float(cell.partition("±")[0]) for cell in upward if cell]
    assert numbers == sorted(numbers)
    assert sorted(upward) == sorted(before)
    assert [bool(cell) for cell in upward] == sorted((bool(cell) for cell in upward), reverse=True)
    browser.click(f"{HEADING.format(0)}.firstChild")
    assert browser.evaluate(f"{HEADING.format(place)}.getAttribute('aria-sort')") == "none"
    names = browser.evaluate(COLUMN.format(0))
    assert names == sorted(names, key=str.casefold) or names[0] == ODD
    assert browser.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(browser: Browser, scheme: str) -> None:
    browser.emulate(prefers_color_scheme=scheme)
    for element in ("h1", "#accuracy figcaption", "#accuracy tbody th", "#accuracy td b", "nav a"):
        assert browser.evaluate(f"({CONTRAST})(document.querySelector('{element}'))") > 4.5, element


def test_tables_are_grouped_hide_what_is_published_and_are_copied(browser: Browser, tmp_path: Path) -> None:
    columns = Column("method", "method"), Column("score", "score", metric=METRICS["test_accuracy"])
    names = ["lora", "- LoRA, Table 1", "- difference", "dtl", "lora:rank=2"]
    rows = tuple((Cell(word=name), Cell(0.1 * place)) for place, name in enumerate(names))
    item = Table("accuracy-x", "", columns, rows)
    browser.open(page.write({"accuracy": [item]}, None, None, tmp_path).as_uri())
    button = "[...document.querySelectorAll('.tools button')].find(button => button.textContent.includes('{}'))"
    shown = (
        "[...document.querySelectorAll('tbody tr')].filter(row => row.offsetHeight).map(row => row.innerText.trim())"
    )
    browser.click(button.format("family"))
    first = [line.split()[0] for line in browser.evaluate(shown)]
    assert first == ["low-rank", "lora", "-", "-", "lora:rank=2", "side", "dtl"]
    browser.click(button.format("Published"))
    assert [line.split()[0] for line in browser.evaluate(shown)] == ["low-rank", "lora", "lora:rank=2", "side", "dtl"]
    browser.evaluate("navigator.clipboard.writeText = async text => { window.copied = text; }")
    for name, text in {"CSV": frames.csv(item), "LaTeX": latex.table(item)}.items():
        browser.click(button.format(name))
        assert browser.evaluate("window.copied") == text
    assert browser.said == []


def test_a_complaint_and_a_request_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://localhost:9/x.png'><script>nothing.there()</script>")
    browser.open(bad.as_uri())
    assert any("nothing is not defined" in said for said in browser.said)
    assert any(address.startswith("http:") for address in browser.asked)


CONTRAST = """element => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = color => color.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  let ground = element;
  const behind = () => getComputedStyle(ground).backgroundColor;
  while (ground.parentElement && parse(behind())[3] === 0) ground = ground.parentElement;
  const [one, other] = [getComputedStyle(element).color, behind()].map(parse).map(light);
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}"""
