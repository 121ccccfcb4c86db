"""A call that cannot be carried out is refused with one sentence before any work starts."""

import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import datasets
from bench.cli.grid import Launch, grid
from bench.cli.guard import check_folder
from bench.errors import UsageError
from bench.grid.request import Request, device_of, grid_of
from bench.settings import RunSettings
from methods import METHODS
from methods.backbones.registry import ARCHITECTURES, BACKBONES, Backbone
from tests.bench.tiny import SUITE

CPU = RunSettings(torch.device("cpu"))


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(datasets.SUITES, "tiny", SUITE)


def request(**words: Any) -> Request:
    return Request(**{"suite": "tiny", "methods": "linear", **words})


def test_the_seed_of_a_run_chooses_the_list_that_was_drawn_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    task = SUITE.tasks[0]
    draws = tuple(dataclasses.replace(task, revision=f"draw {number}") for number in range(3))
    drawn = dataclasses.replace(SUITE, tasks=(dataclasses.replace(draws[0], draws=draws),))
    monkeypatch.setitem(datasets.SUITES, "tiny", drawn)
    runs = grid_of(request(seeds="2,0"))
    assert [(run.seed, run.identity().changes["data"]) for run in runs] == [(2, "draw 2"), (0, "draw 0")]
    with pytest.raises(UsageError, match=r"colours has lists for the seeds 0\.\.2, not for 3"):
        grid_of(request(seeds="0..3"))


def test_what_is_left_out_comes_from_the_suite() -> None:
    runs = grid_of(Request(suite="tiny"))
    assert [run.task.name for run in runs] == ["colours"] * len(METHODS) + ["shades"] * len(METHODS)
    assert {str(run.method) for run in runs} == set(METHODS)
    assert {(run.backbone.name, run.recipe_name, run.seed) for run in runs} == {("random:small", "demo", 0)}


def test_every_word_is_heard() -> None:
    words = {"tasks": "shades", "backbone": "random:demo", "recipe": "common", "seeds": "4", "epochs": 3}
    (run,) = grid_of(request(**words, batch_size=7, precision="bf16", attention="eager"))
    assert (run.task.name, run.backbone.name, run.recipe_name, run.seed) == ("shades", "random:demo", "common", 4)
    recipe = run.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.precision, recipe.attention) == (3, 7, "bf16", "eager")


@pytest.mark.parametrize(("text", "seeds"), [("0", [0]), ("2..4", [2, 3, 4]), ("5,1,5", [5, 1]), ("3..3", [3])])
def test_seeds(text: str, seeds: list[int]) -> None:
    assert [run.seed for run in grid_of(request(tasks="colours", seeds=text))] == seeds


def test_tasks_are_in_the_order_asked_for_and_once() -> None:
    assert [run.task.name for run in grid_of(request(tasks="shades, colours,shades"))] == ["shades", "colours"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"methods": "lorra"}, "no method 'lorra'; did you mean 'lora'? known: "),
        ({"methods": "lora:rank=0"}, "lora: rank='0' is not a whole number of at least 1"),
        ({"methods": "lora:layer=13"}, "lora: layer=13, but the backbone has 12 blocks"),
        ({"methods": "partial:blocks=13"}, "partial: blocks=13, but the backbone has 12 blocks"),
        ({"methods": ""}, "no method given; "),
        ({"suite": "tny"}, "no suite 'tny'; did you mean 'tiny'? known: "),
        ({"tasks": "colors"}, "no tiny task 'colors'; did you mean 'colours'? known: colours, shades"),
        ({"tasks": ""}, "no task given; known: colours, shades"),
        ({"tasks": " , "}, "no task given; known: colours, shades"),
        ({"backbone": "dmo"}, "no backbone 'dmo'; did you mean 'demo'? see: python bench.py list backbones"),
        ({"backbone": "random:vit_bse_patch16_224"}, "no backbone 'vit_bse_patch16_224'; did you mean 'vit_base"),
        ({"recipe": "comon"}, "no recipe 'comon'; did you mean 'common'? known: "),
        ({"seeds": "x"}, "--seeds 'x' is not a list of seeds; write 0,1,2 or 0..4"),
        ({"seeds": ""}, "--seeds '' is not"),
        ({"seeds": "3..1"}, "--seeds '3..1' is not"),
        ({"seeds": "-1"}, "--seeds '-1' is not"),
        ({"seeds": "0..x"}, "--seeds '0..x' is not"),
        ({"epochs": 0}, "--epochs 0 is not a whole number of at least 1"),
        ({"batch_size": -4}, "--batch-size -4 is not a whole number of at least 1"),
        ({"precision": "fp8"}, "--precision 'fp8' is not one of fp32, bf16, fp16"),
        ({"attention": "flash"}, "--attention 'flash' is not one of fused, eager"),
        ({"optimizer_in_backward": True, "precision": "fp16"}, "--optimizer-in-backward, but fp16 has to see"),
    ],
)
def test_a_wrong_word_is_a_wrong_call(words: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}") as caught:
        grid_of(request(**words))
    assert "\n" not in str(caught.value)


def test_a_backbone_that_cannot_carry_a_method_is_no_wrong_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "average", ARCHITECTURES["small"] | {"class_token": False, "global_pool": "avg"})
    assert len(grid_of(request(methods="head2toe", backbone="random:average"))) == 2


def call(tmp_path: Path, **words: Any) -> str:
    """What a dry run shows."""
    console = Console(file=io.StringIO(), width=200)
    grid(request(**words), tmp_path / "results", CPU, console, Launch(dry_run=True))
    return console.file.getvalue()


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    shown = call(tmp_path, methods="linear,lora:rank=1/2")
    for words in ("random:small", "demo", "cpu", "linear, lora:rank=1, lora:rank=2", "colours, shades"):
        assert words in shown
    assert re.search(r"6, of which 0 are there and 6 are left", shown)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("content", "words"), [(None, "there is no such file"), (b"PK\x03\x04 half", "truncated, or not")]
)
def test_a_weight_file_that_is_no_good_is_a_wrong_call(
    tmp_path: Path, dry_run: bool, content: bytes | None, words: str
) -> None:
    file = tmp_path / "ViT-B_16.npz"
    if content is not None:
        file.write_bytes(content)
    asked = request(backbone=f"demo={file}", tasks="colours")
    console = Console(file=io.StringIO())
    with pytest.raises(UsageError, match=words) as caught:
        grid(asked, tmp_path / "results", CPU, console, Launch(dry_run=dry_run))
    assert "ViT-B_16.npz" in str(caught.value)
    assert not (tmp_path / "results" / "runs").exists()


def test_a_dry_run_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(_: Backbone) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(Backbone, "_download", download)
    monkeypatch.setitem(BACKBONES, "hub", Backbone("hub", "small", "timm", "weights from the hub"))
    assert "backbone hub" in call(tmp_path, backbone="hub")


def test_a_folder_that_cannot_be_written_is_a_wrong_call(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"^cannot write to .*/file/results: Not a directory; choose another folder"):
        check_folder(tmp_path / "file" / "results")
    check_folder(tmp_path / "new" / "results")
    assert [*(tmp_path / "new" / "results").iterdir()] == []


def test_cuda_where_there_is_none_is_a_wrong_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no CUDA device is available here; use --device cpu"):
        device_of("cuda")
    assert device_of("auto") == device_of("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of("auto").type == device_of("cuda").type == "cuda"


def test_a_dry_run_of_a_suite_whose_images_are_elsewhere_counts_on_paper(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    asked = Request("linear", "vtab", "dtd,kitti", "random:test_vit", "common", data=tmp_path)
    grid(asked, tmp_path / "results", CPU, console, Launch(dry_run=True))
    said = console.file.getvalue()
    assert "the images of 2 tasks are not there yet; numbers of images are those published" in said
    assert "2,591 test images" in said  # 1,880 of DTD and 711 of KITTI
    with pytest.raises(UsageError, match="2 of 2 tasks of vtab are not below"):
        grid(asked, tmp_path / "results", CPU, console)


def test_all_leaves_out_what_the_recipe_does_not_hold_for(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=500)
    asked = Request("all", "vtab", "dtd", "random:demo", "paper", data=tmp_path)
    names = {run.method.name for run in grid_of(asked, on_paper=True)}
    assert {"lora", "repadapter", "layernorm"} <= names
    assert not {"dora", "vera"} & names
    grid(dataclasses.replace(asked, recipe="osu"), tmp_path / "results", CPU, console, Launch(dry_run=True))
    assert re.search(r"recipe osu does not hold here for .*dora.*: left out of all", console.file.getvalue())
    with pytest.raises(UsageError, match=r"recipe paper has no entry for dora; use another, e\.g\. --recipe common"):
        grid_of(dataclasses.replace(asked, methods="lora,dora"), on_paper=True)
    with pytest.raises(UsageError, match="recipe osu has no entry for"):
        grid_of(request(methods="all", recipe="osu"))


@pytest.mark.parametrize(("suite", "own"), [("fgvc", "vpt_fgvc"), ("few_shot", "noah_few_shot")])
def test_a_suite_has_its_own_way_with_images_unless_another_is_named(suite: str, own: str) -> None:
    tasks = datasets.suite(suite).tasks[0].name
    for given, taken in ((None, own), ("checkpoint", "checkpoint")):
        request = Request("linear", suite, tasks, "random:test_vit", preprocessing=given)
        (run,) = grid_of(request, on_paper=True)
        assert run.recipe.preprocessing == taken


def test_a_local_file_that_says_nothing_of_its_images_must_be_told(tmp_path: Path) -> None:
    file = tmp_path / "dino.pth"
    file.write_bytes(b"\x80\x02")
    asked = {"backbone": f"vit_base_patch16_224={file}", "tasks": "colours"}
    with pytest.raises(UsageError, match=r"dino.pth does not say how .*; write --normalise imagenet"):
        grid_of(request(**asked))
    half, imagenet = (grid_of(request(**asked, normalise=words))[0].identity() for words in ("half", "imagenet"))
    assert "normalise" not in half.changes  # the row's own: a record of before is found
    assert imagenet.changes["normalise"][0] == [0.485, 0.456, 0.406]
    (run,) = grid_of(request(**asked, preprocessing="vpt"))  # which has its own
    assert "normalise" not in run.identity().changes
    with pytest.raises(UsageError, match="--normalise says how a local weight file is fed; demo is none"):
        grid_of(request(backbone="demo", normalise="half"))
