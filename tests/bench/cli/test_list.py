"""What `list` shows, through the command line: everything that can be named, and what it is."""

import json

import pytest

import datasets
from datasets.transforms.preprocessing import PRESETS
from methods import METHODS
from methods.backbones.registry import BACKBONES
from methods.recipe import RECIPES
from methods.search_space import SPACES
from reports import REPORTS
from tests.bench.called import called


def listed(*words: str, code: int = 0) -> str:
    """What `bench.py list` prints, on a wide terminal."""
    done = called("list", *words, columns=250)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def everything() -> dict[str, list[dict]]:
    return json.loads(listed("--json"))


def test_everything_that_can_be_named_is_listed(everything: dict[str, list[dict]]) -> None:
    tasks = {task.name for suite in datasets.SUITES.values() for task in suite.tasks}
    known = {
        "methods": METHODS, "tasks": tasks, "suites": datasets.SUITES, "backbones": BACKBONES, "recipes": RECIPES,
        "spaces": SPACES, "preprocessings": PRESETS, "reports": REPORTS,
    }  # fmt: skip
    listed_names = {kind: {row["name"] for row in rows} for kind, rows in everything.items()}
    assert listed_names.keys() == known.keys()
    assert listed_names.pop("backbones") >= set(known.pop("backbones"))  # and examples of what timm has besides
    assert listed_names == {kind: set(names) for kind, names in known.items()}
    shown = listed()
    assert all(row["name"] in shown for rows in everything.values() for row in rows)


def test_methods_are_listed_by_family_with_paper_count_and_sentence(everything: dict[str, list[dict]]) -> None:
    shown = listed("methods")
    places = []
    for row in everything["methods"]:
        (line,) = [line for line in shown.splitlines() if line.startswith(f"│ {row['name']} ")]
        assert row["what it is"] in line
        facts = f"{row['paper']}, {row['venue']} {row['year']}; "
        facts += {"yes": "entangled", "no": "not entangled", "in part": "entangled in part"}[row["entangled"]]
        assert f"{facts}; {row['parameters']:,} parameters" in shown
        places.append((shown.index(f"methods: {row['family']}"), shown.index(line)))
    assert places == sorted(places)  # the families in one order, and each method below its family


def test_a_method_is_shown_with_every_setting_its_values_and_its_default() -> None:
    shown = listed("lora")
    for cells in (
        ["rank", "a whole number of at least 1", "8", "Rank of the update."],
        ["layer", "a whole number of at least 1 or none", "none", "The one block that is tuned, counted from 1;"],
        ["start", "one of zero, normal", "zero", "`zero` starts as the backbone."],
    ):
        assert any(all(cell in line for cell in cells) for line in shown.splitlines()), cells
    assert "Hu et al., ICLR 2022" in shown
    (row,) = json.loads(listed("head2toe", "--json"))["methods"]
    fraction = next(setting for setting in row["settings"] if setting["name"] == "fraction")
    assert (fraction["default"], fraction["values"]) == (0.1, "a number from 1e-09 to 1")


def test_a_method_inherits_what_it_does_not_say_of_its_settings() -> None:
    settings = {row["name"]: row for row in json.loads(listed("dtl_plus", "--json"))["methods"][0]["settings"]}
    assert list(settings) == ["rank", "start", "beta", "kernel", "read"]
    assert settings["kernel"]["default"] == 3
    assert settings["kernel"]["meaning"].startswith("Side of the convolution")
    assert settings["beta"]["meaning"].startswith("Sharpness of the gate")


def test_one_name_is_listed_wherever_it_is_one() -> None:
    found = json.loads(listed("demo", "--json"))
    assert {kind: len(rows) for kind, rows in found.items()} == {"suites": 1, "backbones": 1, "recipes": 1, "spaces": 1}


def test_what_nothing_is_named_is_a_wrong_call() -> None:
    assert "nothing is named 'method'; did you mean 'methods'? see: python bench.py list" in listed("method", code=2)
