"""Recipes: the more special word wins, the user's word wins over all, and what nothing would read is an error."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import methods.recipe
from bench.errors import UsageError
from bench.grid.request import Request, runs_of
from bench.train.schedule import rate_at
from datasets import PRESETS, SUITES
from methods import METHODS
from methods.recipe import FAMILIES, RECIPES, Context, Recipe, Scope, load, resolve
from methods.search_space import Choice, spaces_of
from methods.spec import parse

SHALLOW = {  # tuned prompt lengths of the VPT paper
    **{"cifar": 100, "caltech101": 5, "dtd": 1, "oxford_flowers102": 200, "oxford_iiit_pet": 50, "svhn": 200},
    **{"sun397": 1, "patch_camelyon": 5, "eurosat": 50, "resisc45": 50, "diabetic_retinopathy": 10},
    **{"clevr_count": 100, "clevr_dist": 200, "dmlab": 100, "kitti": 100, "dsprites_loc": 100, "dsprites_ori": 100},
    **{"smallnorb_azi": 200, "smallnorb_ele": 200},
}
DEEP = {
    **{"cifar": 10, "caltech101": 10, "dtd": 10, "oxford_flowers102": 1, "oxford_iiit_pet": 1, "svhn": 50},
    **{"sun397": 5, "patch_camelyon": 100, "eurosat": 100, "resisc45": 10, "diabetic_retinopathy": 1},
    **{"clevr_count": 50, "clevr_dist": 200, "dmlab": 100, "kitti": 50, "dsprites_loc": 10, "dsprites_ori": 50},
    **{"smallnorb_azi": 200, "smallnorb_ele": 200},
}


def resolved(recipe: str, spec: str, task: str = "cifar", **overrides: Any) -> tuple[Recipe, Any]:
    return resolve(recipe, parse(spec)[0], task, overrides)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Puts a recipe beside no others and gives its name."""
    monkeypatch.setattr(methods.recipe, "FOLDER", tmp_path)
    monkeypatch.setattr(methods.recipe, "RECIPES", ["mine"])
    load.cache_clear()

    def put(text: str) -> str:
        (tmp_path / "mine.toml").write_text(text)
        return "mine"

    yield put
    load.cache_clear()


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("task", ["cifar", "dmlab", "digits"])
def test_every_recipe_resolves_for_every_method(recipe: str, name: str, task: str) -> None:
    if load(recipe).get("complete") and name not in load(recipe):
        with pytest.raises(ValueError, match=f"recipe {recipe} has no entry for {name}"):
            resolve(recipe, METHODS[name](), task, {})
        return
    settings, method = resolve(recipe, METHODS[name](), task, {})
    assert type(method) is METHODS[name]
    assert settings.preprocessing in PRESETS


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_says_what_it_is_for(recipe: str) -> None:
    assert load(recipe)["about"]


@pytest.mark.parametrize(("name", "lengths"), [("vpt_shallow", SHALLOW), ("vpt_deep", DEEP)])
def test_prompt_lengths_and_batches_of_the_paper(name: str, lengths: dict[str, int]) -> None:
    assert len(lengths) == 19
    assert load("paper")[name]["tasks"].keys() == lengths.keys()
    for task, tokens in lengths.items():
        recipe, method = resolved("paper", name, task)
        assert (method.tokens, recipe.batch_size) == (tokens, 64 if tokens >= 100 else 128), task


def test_lora_of_the_paper_is_the_released_code() -> None:
    recipe, method = resolved("paper", "lora")
    assert (method.rank, method.target, method.dropout, method.start) == (8, "qkv", 0.1, "normal")
    assert (recipe.learning_rate, recipe.weight_decay, recipe.batch_size, recipe.drop_path) == (1e-3, 1e-4, 64, 0.1)
    assert (recipe.drop_last, recipe.head, recipe.evaluate_every, recipe.reported) == (True, "normal", 10, "best")


def test_a_setting_of_the_user_wins_over_the_recipe() -> None:
    assert resolved("paper", "vpt_deep:tokens=7", "svhn")[1].tokens == 7
    assert resolved("paper", "vpt_deep:dropout=0.2", "svhn")[1] == parse("vpt_deep:dropout=0.2:tokens=50")[0]


def test_a_field_of_the_user_wins_over_the_recipe() -> None:
    assert resolved("paper", "vpt_deep", "dmlab")[0].batch_size == 64
    assert resolved("paper", "vpt_deep", "dmlab", batch_size=3, epochs=2)[0].batch_size == 3


def test_the_more_special_word_wins(write: Callable[[str], str]) -> None:
    name = write("epochs = 1\nbatch_size = 1\nhead = 'prior'\n[lora]\nepochs = 2\nrank = 2\nbatch_size = 2\n"
                 "[lora.tasks]\ndtd = { epochs = 3, rank = 3 }\n")  # fmt: skip
    recipe, method = resolved(name, "lora", "dtd")
    assert (recipe.epochs, recipe.batch_size, recipe.head, method.rank) == (3, 2, "prior", 3)
    recipe, method = resolved(name, "lora", "cifar")
    assert (recipe.epochs, recipe.batch_size, recipe.head, method.rank) == (2, 2, "prior", 2)
    assert resolved(name, "linear", "dtd")[0].epochs == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat = 1.0", "recipe mine, lora: 'learning_rat' is neither a recipe field nor a setting"),
        ("[lora]\ntokens = 3", "recipe mine, lora: 'tokens' is neither a recipe field nor a setting"),
        ("[lora.tasks]\ncifar = { rnk = 3 }", "recipe mine, lora: 'rnk' is neither a recipe field nor a setting"),
        (
            "per = 'step'",
            "recipe mine, lora: 'per' is neither a recipe field nor a setting; it is called schedule_unit now",
        ),
        ("[lorra]\nepochs = 3", "recipe mine: no method 'lorra'; did you mean 'lora'?"),
        ("['lora:rank=1/2']\nepochs = 3", "recipe mine: 'lora:rank=1/2' is more than one method"),
        ("['lora:rnk=1']\nepochs = 3", "recipe mine: lora: no setting 'rnk'; did you mean 'rank'?"),
        ("[lora.task]\ncifar = { rank = 3 }", "recipe mine, lora: no table 'task'; known: tasks"),
        ("[lora]\nrank = 0", "lora: rank=0 is not a whole number of at least 1"),
        ("[lora]\nepochs = 0", "recipe: epochs=0 is not a whole number of at least 1"),
        ("optimizer = 'lion'", "recipe: optimizer='lion' is not one of adamw, adam, sgd"),
        ("learning_rate = 0.0", "recipe: learning_rate=0.0 is not a number of at least 1e-12"),
        ("drop_path = 1.5", "recipe: drop_path=1.5 is not a number from 0 to 1"),
        ("lag = 1", "recipe: lag=1 is not true or false"),
        ("warmup_epochs = -1", "recipe: warmup_epochs=-1 is not one of 0 or a whole number of at least 1"),
        ("epochs = ", "recipe mine cannot be read: "),
        ("complete = true", "recipe mine has no entry for lora; use another, e.g. --recipe common"),
    ],
)
def test_what_cannot_be_right_is_refused(write: Callable[[str], str], text: str, message: str) -> None:
    name = write(text)
    with pytest.raises(ValueError, match=f"^{message.replace('?', '[?]')}") as caught:
        resolved(name, "lora")
    assert "\n" not in str(caught.value)


def test_a_variant_may_have_a_table_of_its_own(write: Callable[[str], str]) -> None:
    name = write(
        """
        [lora]
        epochs = 3
        batch_size = 8
        tasks.cifar = { scale = 2.0, rank = 4 }
        ["lora:target=qv"]
        epochs = 5
        tasks.cifar = { rank = 6 }
        """
    )
    recipe, method = resolved(name, "lora")
    assert (recipe.epochs, recipe.batch_size, method.scale, method.rank) == (3, 8, 2.0, 4)
    recipe, method = resolved(name, "lora:target=qv:layer=2")
    assert (recipe.epochs, recipe.batch_size, method.scale, method.rank) == (5, 8, 2.0, 6)


BYPASSES = ("adapter", "adaptformer", "convpass", "fact_tt", "fact_tk")


@pytest.mark.parametrize("name", BYPASSES)
def test_noah_and_petl_vit_train_alike(name: str) -> None:
    recipe, _ = resolved("paper", name, "svhn")
    assert (recipe.learning_rate, recipe.weight_decay, recipe.batch_size, recipe.drop_path) == (1e-3, 1e-4, 64, 0.1)
    assert (recipe.warmup_lr, recipe.min_lr, recipe.lag, recipe.epochs) == (1e-6, 1e-5, True, 100)
    assert (recipe.drop_last, recipe.evaluate_every, recipe.reported) == (True, 10, "best")


@pytest.mark.parametrize(
    "name",
    [
        "adaptformer:bias=false",
        "convpass",
        "convpass:variant=attn",
        "fact_tt",
        "fact_tk",
        "ssf",
        "repadapter",
        "repadapter:variant=attn",
        "layernorm",
        "diffit",
    ],
)
def test_the_cards_have_a_row_for_each_task(name: str) -> None:
    assert load("paper")[name]["tasks"].keys() == SHALLOW.keys()


@pytest.mark.parametrize(
    ("spec", "task", "settings"),
    [
        ("convpass", "cifar", {"scale": 0.1, "conv": "identity"}),
        ("convpass", "smallnorb_azi", {"scale": 100.0, "conv": "xavier"}),
        ("convpass:variant=attn", "caltech101", {"scale": 100.0, "conv": "xavier"}),
        ("convpass:variant=attn", "smallnorb_ele", {"scale": 1.0, "conv": "xavier"}),
        ("fact_tt", "clevr_dist", {"rank": 4, "scale": 10.0}),
        ("fact_tk", "cifar", {"rank": 32, "scale": 0.1}),
        ("fact_tk", "smallnorb_ele", {"rank": 16, "scale": 10.0}),
        ("adaptformer", "caltech101", {"units": 8, "scale": 0.1}),
        ("adaptformer:bias=false", "caltech101", {"units": 32, "scale": 10.0}),
        ("side_tuning", "dtd", {"weights": "imagenet"}),
        ("repadapter", "cifar", {"scale": 0.1, "units": 8, "groups": 2}),
        ("repadapter", "smallnorb_azi", {"scale": 10.0}),
        ("repadapter:variant=attn", "dsprites_ori", {"scale": 5.0}),
    ],
)
def test_settings_of_the_cards(spec: str, task: str, settings: dict[str, Any]) -> None:
    _, method = resolved("paper", spec, task)
    assert {key: getattr(method, key) for key in settings} == settings


@pytest.mark.parametrize(
    ("task", "values"),
    [("cifar", (5e-3, 5e-5, 0.0)), ("clevr_dist", (5e-2, 5e-2, 0.1)), ("smallnorb_ele", (5e-3, 5e-2, 0.2))],
)
def test_ssf_of_the_card(task: str, values: tuple[float, ...]) -> None:
    recipe, _ = resolved("paper", "ssf", task)
    assert (recipe.learning_rate, recipe.weight_decay, recipe.drop_path) == values
    assert (recipe.precision, recipe.batch_size, recipe.evaluate_every, recipe.reported) == ("fp16", 64, 1, "best")


def test_repadapter_trains_as_petl_vit_does() -> None:
    recipe, _ = resolved("paper", "repadapter", "svhn")
    assert recipe == dataclasses.replace(resolved("paper", "convpass", "svhn")[0], preprocessing="petl_vit")


@pytest.mark.parametrize(
    ("recipe", "spec", "task", "rate", "decay"),
    [
        ("paper", "layernorm", "cifar", 1e-3, 1e-3),
        ("paper", "layernorm", "dmlab", 1e-2, 1e-4),
        ("paper", "diffit", "resisc45", 1e-2, 1e-4),
        ("paper", "diffit", "smallnorb_ele", 1e-3, 1e-3),
        ("osu", "repadapter", "eurosat", 1e-2, 1e-3),
        ("osu", "repadapter", "smallnorb_ele", 1e-3, 1e-4),
    ],
)
def test_what_the_osu_study_chose(recipe: str, spec: str, task: str, rate: float, decay: float) -> None:
    found, method = resolved(recipe, spec, task)
    assert (found.learning_rate, found.weight_decay, found.decay, found.preprocessing) == (rate, decay, "all", "osu")
    assert (found.batch_size, found.drop_last, found.drop_path, found.reported) == (64, True, 0.1, "last")
    if (spec, task) == ("repadapter", "smallnorb_ele"):
        assert (method.units, method.scale) == (8, 1.0)


def test_the_adapter_of_vpt_trains_as_the_other_rows_of_vpt() -> None:
    assert resolved("paper", "adapter:variant=vpt")[0] == resolved("paper", "bitfit")[0]


def test_side_tuning_trains_as_linear() -> None:
    assert resolved("paper", "side_tuning")[0] == resolved("paper", "linear")[0]


def test_a_field_of_the_user_is_checked() -> None:
    with pytest.raises(ValueError, match=r"^recipe: epochs=0 is not a whole number of at least 1$"):
        resolved("common", "lora", epochs=0)


def test_an_unknown_recipe_is_named_with_the_closest() -> None:
    with pytest.raises(
        ValueError, match=rf"^no recipe 'papper'; did you mean 'paper'\? known: {', '.join(RECIPES)}; or a file"
    ):
        resolved("papper", "lora")


def test_changes_are_what_differs_from_the_defaults() -> None:
    assert Recipe().changes() == {}
    assert Recipe(epochs=3, lag=False, head="prior").changes() == {"epochs": 3, "head": "prior"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_changes_are_enough_to_make_the_recipe_again(recipe: str) -> None:
    held = [name for name in METHODS if not load(recipe).get("complete") or name in load(recipe)]
    assert held
    for name in held:
        settings, _ = resolved(recipe, name, "svhn")
        assert Recipe(**settings.changes()) == settings
        assert all(value != getattr(Recipe(), key) for key, value in settings.changes().items())


def test_every_field_can_be_given(write: Callable[[str], str]) -> None:
    other = Recipe(optimizer="sgd", learning_rate=0.5, lr_batch_size=256, lag=True, cosine_epochs=9, drop_path=0.1)
    values = {key: value for key, value in dataclasses.asdict(other).items() if value is not None}
    lines = [
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in values.items()
    ]
    assert resolved(write("\n".join(lines)), "linear")[0] == other


@pytest.mark.parametrize(("epochs", "warmup"), [(None, 10), (100, 10), (20, 2), (1, 0), (200, 20)])
def test_other_epochs_keep_the_shape_of_the_schedule(epochs: int | None, warmup: int) -> None:
    recipe, _ = resolve("common", parse("dtl")[0], "cifar100", {} if epochs is None else {"epochs": epochs})
    assert (recipe.epochs, recipe.warmup_epochs) == (epochs or 100, warmup)


def test_a_warm_up_that_is_given_stays() -> None:
    recipe, _ = resolve("common", parse("dtl")[0], "cifar100", {"epochs": 20, "warmup_epochs": 5})
    assert recipe.warmup_epochs == 5


@pytest.mark.parametrize("epochs", [100, 110])
@pytest.mark.parametrize("name", ["dtl", "dtl_plus", "ssf"])
def test_the_numbers_of_the_recipe_itself_change_nothing_but_the_end(name: str, epochs: int) -> None:
    own, asked = resolved("paper", name)[0], resolved("paper", name, epochs=epochs)[0]
    assert (asked.warmup_epochs, asked.cosine_epochs, asked.epochs) == (10, 100, epochs)
    assert dataclasses.replace(asked, epochs=110) == own


@pytest.mark.parametrize("recipe", RECIPES)
def test_asking_for_the_epochs_of_the_recipe_changes_nothing(recipe: str) -> None:
    for name in load(recipe):
        if name in METHODS:
            own = resolved(recipe, name)[0]
            assert resolved(recipe, name, epochs=own.epochs)[0] == own


def test_ssf_reads_its_schedule_without_a_lag() -> None:
    recipe = resolved("paper", "ssf")[0]
    assert rate_at(recipe, 0, 0, 15) == 1e-7
    assert rate_at(recipe, 1, 0, 15) == pytest.approx(1e-7 + (5e-3 - 1e-7) / 10)
    assert rate_at(recipe, 50, 0, 15) == pytest.approx(1e-8 + 0.5 * (5e-3 - 1e-8))
    assert rate_at(recipe, 109, 0, 15) == pytest.approx(1e-8)


@pytest.mark.parametrize(
    ("spec", "task", "batch"),
    [
        ("vpt_deep:tokens=300", "cifar", 64),
        ("vpt_deep:tokens=100", "cifar", 64),
        ("vpt_deep:tokens=99", "clevr_dist", 128),
        ("vpt_deep", "clevr_dist", 64),
        ("vpt_deep", "cifar", 128),
        ("vpt_shallow:tokens=5", "cifar", 128),
        ("vpt_shallow", "cifar", 64),
    ],
)
def test_the_batch_of_vpt_goes_by_the_number_of_tokens(spec: str, task: str, batch: int) -> None:
    assert resolved("paper", spec, task)[0].batch_size == batch
    assert resolved("paper", spec, task, batch_size=7)[0].batch_size == 7


@pytest.mark.parametrize(
    ("spec", "task", "keep"),
    [
        ("vqt", "cifar", 0.7),
        ("vqt", "svhn", 1.0),
        ("vqt:tokens=10", "cifar", 1.0),
        ("vqt:tokens=1", "svhn", 0.7),
        ("vqt:tokens=1:keep=0.5", "svhn", 0.5),
    ],
)
def test_the_share_that_vqt_keeps_goes_by_the_number_of_tokens(spec: str, task: str, keep: float) -> None:
    assert resolved("paper", spec, task)[1].keep == keep


def at(spec: str, task: str, suite: str, family: str = "vit", preprocessing: str | None = None) -> tuple[Recipe, Any]:
    return resolve("paper", parse(spec)[0], task, {}, Context(suite, family, preprocessing))


@pytest.mark.parametrize(
    ("spec", "task", "settings", "rate", "drop_path"),
    [
        ("dtl", "cifar", (4, 15, 5, 0), 1e-3, 0.1),
        ("dtl", "smallnorb_ele", (4, 15, 5, 0), 8e-4, 0.5),
        ("dtl_plus", "cifar", (4, 15, 5, 5), 3e-3, 0.0),
        ("dtl_plus", "oxford_iiit_pet", (4, 15, 5, 5), 1e-4, 0.3),
        ("dtl_plus", "dsprites_loc", (4, 15, 5, 5), 1e-2, 0.5),
    ],
)
def test_dtl_on_swin_has_rows_of_its_own(
    spec: str, task: str, settings: tuple[int, ...], rate: float, drop_path: float
) -> None:
    recipe, method = at(spec, task, "vtab", "swin")
    assert (method.rank, method.start, method.read, method.kernel) == settings
    assert (recipe.learning_rate, recipe.drop_path, recipe.epochs, recipe.batch_size) == (rate, drop_path, 110, 32)
    assert at(spec, task, "vtab")[1].start == 7
    assert load("paper")[f"{spec}@swin"]["tasks"].keys() == SHALLOW.keys()


@pytest.mark.parametrize(
    ("spec", "suite", "task", "rate", "preprocessing"),
    [
        ("dtl", "domain", "imagenet_r", 3e-5, "dtl_few_shot"),
        ("dtl_plus", "domain:mask", "imagenet_a", 8e-5, "dtl_few_shot"),
        ("dtl", "few_shot", "aircraft-shots16", 8e-3, "dtl_few_shot"),
        ("dtl_plus", "few_shot", "flowers102-shots4", 8e-3, "dtl_few_shot"),
        ("dtl", "few_shot", "pets-shots1", 1e-3, "dtl_few_shot"),
        ("lora", "few_shot", "cars-shots1", 5e-3, "noah_few_shot"),
        ("lora", "domain", "imagenet", 5e-3, "noah_few_shot"),
        ("adapter", "few_shot", "cars-shots1", 5e-3, "noah_few_shot"),
    ],
)
def test_rates_and_images_elsewhere_are_those_of_the_cards(
    spec: str, suite: str, task: str, rate: float, preprocessing: str
) -> None:
    recipe, method = at(spec, task, suite, preprocessing="noah_few_shot")
    assert (recipe.learning_rate, recipe.preprocessing) == (rate, preprocessing)
    if spec.startswith("dtl"):
        assert (recipe.drop_path, recipe.weight_decay, method.kernel) == (0, 0.05, 3 if spec == "dtl_plus" else 0)


@pytest.mark.parametrize(
    ("spec", "task", "tokens", "batch"),
    [
        ("vpt_deep", "cub", 10, 128),
        ("vpt_deep", "oxford_flowers", 5, 128),
        ("vpt_deep", "stanford_dogs", 100, 64),
        ("vpt_deep", "stanford_cars", 200, 64),
        ("vpt_shallow", "nabirds", 50, 128),
        ("vpt_shallow", "stanford_cars", 100, 64),
    ],
)
def test_prompts_on_fgvc_are_those_of_the_card(spec: str, task: str, tokens: int, batch: int) -> None:
    recipe, method = at(spec, task, "fgvc", preprocessing="vpt_fgvc")
    assert (method.tokens, recipe.batch_size, recipe.preprocessing) == (tokens, batch, "vpt_fgvc")


def test_lora_of_query_and_value_is_that_of_its_own_source() -> None:
    for task, scale in (("cifar", 0.1), ("dtd", 0.01), ("patch_camelyon", 10.0), ("smallnorb_ele", 1.0)):
        recipe, method = at("lora:target=qv", task, "vtab")
        assert (method.rank, method.start, method.scale) == (32, "zero", scale), task
        assert (recipe.preprocessing, recipe.learning_rate, recipe.drop_path) == ("petl_vit_binary", 1e-3, 0.1)
    assert load("paper")["lora:target=qv"]["tasks"].keys() == SHALLOW.keys()


@pytest.mark.parametrize(
    ("spec", "suite", "family", "there"),
    [
        ("lora", "vtab", "swin", "vtab on vit; few_shot and domain on vit"),
        ("lora:target=qv", "few_shot", "vit", "vtab on vit"),
        ("lora", "fgvc", "vit", "vtab on vit; few_shot and domain on vit"),
        ("lora", "folder:pets", "vit", "vtab on vit; few_shot and domain on vit"),
        ("lora", "demo", "vit", "vtab on vit; few_shot and domain on vit"),
        ("dtl", "few_shot", "swin", "vtab on vit; vtab on swin; few_shot on vit; domain on vit"),
        ("dtl", "fgvc", "vit", "vtab on vit; vtab on swin; few_shot on vit; domain on vit"),
        ("ssf", "fgvc", "vit", "vtab on vit"),
        ("adapter:variant=vpt", "few_shot", "vit", "vtab on vit; fgvc on vit"),
        ("adapter", "fgvc", "vit", "vtab on vit; few_shot and domain on vit"),
        ("convpass", "few_shot", "vit", "vtab on vit"),
        ("vpt_deep", "few_shot", "vit", "vtab on vit; fgvc on vit"),
    ],
)
def test_paper_is_refused_where_it_is_not_the_recipe_of_the_authors(
    spec: str, suite: str, family: str, there: str
) -> None:
    with pytest.raises(ValueError, match=r"^recipe paper has ") as caught:
        at(spec, "cifar", suite, family)
    assert str(caught.value) == (
        f"recipe paper has {spec} for {there}, not for {suite} on {family}; use another --recipe"
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_tables_are_for_suites_and_backbones_that_there_are(recipe: str) -> None:
    tables = load(recipe)
    for words in (tables.get("holds", ""), *(key.partition("@")[2] for key in tables)):
        scope = Scope.of(words)
        assert {*scope.suites} <= {*SUITES}
        assert {*scope.families} <= {*FAMILIES}


def test_other_recipes_hold_everywhere() -> None:
    for recipe in ("common", "demo"):
        for suite, family in (("fgvc", "swin"), ("folder:pets", "vit")):
            given = resolve(recipe, parse("lora")[0], "cub", {}, Context(suite, family, "vpt_fgvc"))
            assert given[0].preprocessing == "vpt_fgvc"


def test_a_grid_asks_the_recipe_for_its_suite_and_backbone() -> None:
    asked = Request(methods="dtl", suite="vtab", tasks="cifar", backbone="random:swin_base_patch4_window7_224")
    (run,) = runs_of(asked, on_paper=True)
    assert (run.resolved.start, run.resolved.rank, run.recipe.learning_rate) == (15, 4, 1e-3)
    asked = Request(methods="dtl", suite="domain", tasks="imagenet_r", backbone="random:demo", recipe="paper")
    (run,) = runs_of(asked, on_paper=True)
    assert (run.recipe.learning_rate, run.recipe.preprocessing) == (3e-5, "dtl_few_shot")
    (run,) = runs_of(dataclasses.replace(asked, preprocessing="checkpoint"), on_paper=True)
    assert run.recipe.preprocessing == "checkpoint"
    with pytest.raises(UsageError, match="recipe paper has ssf for vtab on vit, not for domain on vit"):
        runs_of(dataclasses.replace(asked, methods="ssf"), on_paper=True)


def test_each_method_of_the_embedded_suite_has_a_rate_that_was_tried_on_validation_images() -> None:
    for name, method in METHODS.items():
        rate = spaces_of("demo", [method()])[method()]["learning_rate"]
        assert isinstance(rate, Choice)
        assert resolve("demo", method(), "digits", {})[0].learning_rate in rate.values, name
