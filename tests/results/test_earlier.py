"""Records that an earlier version wrote (commit 6829e83) are read, found at their path, and still count as done."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import methods.recipe
import results
import results.words
from bench.cli.app import app
from bench.grid.request import Request, runs_of
from bench.runner.stale import stale
from results.claims import Claims, claim_path
from results.verify import verify

EARLIER = Path(__file__).parent / "earlier"
METHODS = ("linear", "lora", "dtl")
TUNED = """about = "Chosen on validation images by bench.py tune --set per=step, 2026-11-01"
chosen = true
complete = true
holds = "demo,vit"

["lora".tasks]
"digits" = { learning_rate = 0.01, epsilon = 1e-06, per = "step", epochs = 2, rank = 4 } # 91.00% on validation, trial 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of results as an earlier version left it."""
    shutil.copytree(EARLIER, tmp_path, dirs_exist_ok=True)
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "mine.toml").write_text(TUNED)
    return tmp_path


def upgraded(folder: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["results", "upgrade", str(folder)])
    return done.exit_code, done.output


def test_both_tables_of_earlier_words_agree() -> None:
    assert results.words.RENAMED == methods.recipe.RENAMED
    assert set(results.words.RENAMED.values()) <= methods.recipe.FIELDS


@pytest.mark.parametrize("upgrade", [False, True])
def test_each_is_the_record_of_today_s_run(folder: Path, upgrade: bool) -> None:
    assert not upgrade or upgraded(folder)[0] == 0
    assert verify(folder).sound()
    then = str(EARLIER / "demo.toml")
    for run in runs_of(Request(methods=",".join(METHODS), tasks="digits", recipe=then, epochs=2)):
        record = results.load(results.path_of(folder, run.identity()))
        # Code rewritten with equal numbers is noted by tools/equal_code.py: no run is done again for it.
        assert stale(run, record) == ""
        assert record.identity == run.identity()
        assert record.score.test_accuracy is not None


def test_reports_see_today_s_words_alone() -> None:
    (row, *_) = results.frame(results.load_all(EARLIER)[0]).to_dict("records")
    assert row["recipe_schedule_unit"] == "step"
    assert not {f"recipe_{first}" for first in results.words.RENAMED} & row.keys()


def test_an_upgrade_changes_words_and_nothing_else(folder: Path) -> None:
    before, complaints = results.load_all(folder)
    assert (len(before), complaints) == (3, [])
    old = methods.recipe.resolve(str(folder / "tuned" / "mine.toml"), *lora_on_digits())
    assert (old[0].eps, old[0].schedule_unit, old[1].rank) == (1e-6, "step", 4)  # type: ignore[attr-defined]
    assert upgraded(folder) == (0, "3 records and 1 recipe of tune now have today's words; 0 had them\n")
    assert results.load_all(folder) == (before, [])
    for path in (folder / "runs").rglob("*.json"):
        recipe = json.loads(path.read_text())["record"]["recipe"]
        assert list(recipe) == [field.name for field in dataclasses.fields(methods.recipe.Recipe)]
    text = (folder / "tuned" / "mine.toml").read_text()
    assert text == TUNED.replace("epsilon =", "eps =").replace(' per = "', ' schedule_unit = "')
    methods.recipe.load.cache_clear()
    assert methods.recipe.resolve(str(folder / "tuned" / "mine.toml"), *lora_on_digits()) == old
    assert upgraded(folder) == (0, "0 records and 0 recipes of tune now have today's words; 4 had them\n")


def lora_on_digits() -> tuple[methods.Method, str, dict[str, object], methods.recipe.Context]:
    return methods.spec.parse("lora")[0], "digits", {}, methods.recipe.Context("demo", "vit")


def test_a_damaged_record_is_named_and_left(folder: Path) -> None:
    damaged = next((folder / "runs").rglob("lora*.json"))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    then = damaged.read_bytes()
    code, said = upgraded(folder)
    assert code == 1
    assert "2 records and 1 recipe" in said
    assert damaged.name in said.replace("\n", "")
    assert damaged.read_bytes() == then


def test_a_run_at_work_and_a_recipe_of_other_bytes_are_left(folder: Path) -> None:
    held = next((folder / "runs").rglob("lora*.json"))
    then = held.read_bytes()
    (folder / "tuned" / "latin.toml").write_bytes(b'about = "caf\xe9"\n')
    claim = Claims().take(claim_path(folder, held))
    assert claim is not None
    with claim:
        code, said = upgraded(folder)
        assert claim.ours()
    assert code == 1
    assert "2 records and 1 recipe of tune now have today's words" in said
    assert "1 record left, since the run is being done now" in said
    assert "latin.toml" in said.replace("\n", "")
    assert held.read_bytes() == then
