"""The command line: one function per command, no logic. `python bench.py --help` explains it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli import data as data_commands
from bench.cli import options
from bench.cli import results as results_commands
from bench.cli.guard import Command, Group, check_folder, check_place, console, say
from bench.cli.options import ROOT
from bench.surroundings import importing, settle

EPILOGUE = """
Examples:

  python bench.py                                     all methods, demo suite

  python bench.py --methods lora:rank=4/8/16,bitfit   sweeps expand in place

  python bench.py --methods lora:layer=1..12 --tasks digits --seeds 0..2

  python bench.py --dry-run                           what would run, how long

  python bench.py --suite folder:PATH --methods lora  your own images

  python bench.py --launcher slurm --slurm partition=gpu,gpus=1,time=4:00:00

  python bench.py cost --planned                      memory, without a GPU

  python bench.py report                              tables and figures

  python bench.py tune --methods lora,dtl --trials 24  choose rate, decay and size

  python bench.py predict results/runs/…/lora-….json photo.jpg

  python bench.py doctor                              is everything here?
"""

if TYPE_CHECKING:
    from bench.grid.grid import Outcome

__all__ = ["app"]

app = typer.Typer(cls=Group, rich_markup_mode="rich", add_completion=False, pretty_exceptions_enable=False)
app.add_typer(data_commands.app, name="data")
app.add_typer(results_commands.app, name="results")


@app.callback(invoke_without_command=True, epilog=EPILOGUE)
def grid(
    context: typer.Context,
    methods: options.Methods = "all",
    suite: options.Suite = "demo",
    tasks: options.Tasks = None,
    backbone: options.Backbone = None,
    image_size: options.ImageSize = None,
    recipe: options.RecipeName = None,
    seeds: options.Seeds = "0",
    dry_run: options.DryRun = False,
    force: options.Force = False,
    stale: options.Stale = "redo",
    set_: options.Set = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    precision: options.PrecisionInstead = None,
    attention: options.AttentionInstead = None,
    preprocessing: options.Preprocessing = None,
    normalise: options.Normalise = None,
    activations: options.Activations = None,
    optimizer: options.Optimizer = None,
    optimizer_in_backward: options.InBackward = False,
    data: options.Data = ROOT / "data",
    on_bad_image: options.OnBadImage = "fail",
    decode_workers: options.DecodeWorkers = None,
    cache_features: options.FeatureCache = "auto",
    feature_limit: options.FeatureLimit = None,
    compile_: options.Compile = "off",
    device: options.Device = "auto",
    results: options.Results = ROOT / "results",
    out: options.Output = ROOT / "reports" / "out",
    keep: options.Keep = "",
    workers: options.Workers = None,
    launcher: options.Launcher = "local",
    slurm: options.Slurm = None,
    patience: options.Patience = 60.0,
    budget: options.Budget = None,
    log: options.Log = "off",
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: options.Version = False,
) -> None:
    """Train PETL methods on a suite of tasks and measure accuracy, memory, parameters and time.

    Finished runs are kept and skipped: a call that was interrupted goes on where it stopped.
    """
    if context.invoked_subcommand is not None:
        check_place(context)
        return
    settle(results)
    with importing():
        from bench.cli.grid import Launch, cache_limits
        from bench.cli.grid import grid as run_grid
        from bench.cost.budget import bytes_of
        from bench.grid.request import Request, device_of
        from bench.grid.slurm import slurm_options
        from bench.runner.artifacts import kinds_of
        from bench.runner.tracker import check_tracker
        from bench.settings import Keep, LoaderSettings, RunSettings

    if not dry_run:
        check_folder(out, "--out")
    if recipe is not None:
        from bench.cli.tune import tuned_path  # here, since it imports optuna

        recipe = tuned_path(recipe, results)
    request = Request(
        methods=methods,
        suite=suite,
        tasks=tasks,
        backbone=backbone,
        recipe=recipe,
        seeds=seeds,
        epochs=epochs,
        batch_size=batch_size,
        precision=precision,
        attention=attention,
        preprocessing=preprocessing,
        data=data,
        normalise=normalise,
        activations=",".join(activations) if activations else None,
        optimizer=optimizer,
        optimizer_in_backward=optimizer_in_backward or None,
        set=tuple(set_ or ()),
        image_size=image_size,
    ).absolute()
    launch = Launch(workers, slurm_options(launcher, slurm, workers), device, dry_run, force)
    check_tracker(log)
    settings = RunSettings(
        device_of("auto" if launch.slurm else device),  # the machine that submits may have no GPU
        keep=Keep(kinds_of(keep), results.absolute()),
        loader=LoaderSettings(decode_workers, on_bad_image),
        cache_features=cache_features,
        cache_limits=cache_limits(feature_limit),
        cache_folder=results.absolute() / "features",  # a job runs in another folder
        compile=compile_,
        stale=stale,
        log=log,
        patience_seconds=60 * patience,
    )
    limit = None if budget is None else bytes_of(budget)
    outcome = run_grid(request, results, settings, console(), launch)
    _finish(outcome, None if dry_run else results, out, request.suite, limit)


def _finish(outcome: Outcome, results: Path | None, out: Path, suite: str, budget: int | None = None) -> None:
    """Write the tables of a grid, unless it was a dry run without `results`, and exit by what came of it."""
    if outcome.records and results is not None:
        from bench.cli.own_images import close
        from reports import write_all
        from results import load_all

        write_all(results, None, out, console(), outcome.records)
        close(load_all(results, outcome.records)[0], results, suite, budget, console())
    if outcome.stopped:
        raise KeyboardInterrupt
    raise typer.Exit(1 if outcome.failed else 0)


@app.command(cls=Command)
def tune(
    methods: options.Methods = "all",
    suite: options.Suite = "demo",
    tasks: options.Tasks = None,
    backbone: options.Backbone = None,
    recipe: options.RecipeName = None,
    trials: Annotated[int, typer.Option(help="Of each method, on each task or all together, in all calls.")] = 24,
    name: Annotated[
        str | None,
        typer.Option(help="Of the search and of its recipe, [b]--recipe tuned:NAME[/b]; the suite's name if left out."),
    ] = None,
    space: Annotated[
        str,
        typer.Option(
            metavar="SPACE|FIELD=VALUES,…",
            help="What may be chosen: of [b]list spaces[/b], or [b]learning_rate=1e-4..1e-2,rank=4/8/16[/b].",
        ),
    ] = "default",
    sampler: Annotated[
        Literal["auto", "grid", "tpe", "random"],
        typer.Option(help="[b]auto[/b] takes a grid where all values are choices and fit into the trials, else TPE."),
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the sampler and of every run.")] = 0,
    choose: Annotated[
        Literal["task", "suite"],
        typer.Option(
            help="Values for each [b]task[/b], or for all tasks of the [b]suite[/b] those with the best mean."
        ),
    ] = "task",
    prune: Annotated[
        bool,
        typer.Option(help="End trials early that do worse than the median of the others; those of a grid never are."),
    ] = True,
    then_test: Annotated[
        bool, typer.Option("--then-test", help="Train with what was chosen on all training images, and test once.")
    ] = False,
    set_: options.Set = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    precision: options.PrecisionInstead = None,
    data: options.Data = ROOT / "data",
    on_bad_image: options.OnBadImage = "fail",
    cache_features: options.FeatureCache = "auto",
    device: options.Device = "auto",
    results: options.Results = ROOT / "results",
    out: options.Output = ROOT / "reports" / "out",
    workers: options.Workers = None,
    launcher: Annotated[str, typer.Option(hidden=True)] = "local",
) -> None:
    """Choose rate, decay and a method's size on validation images; test images are not read.

    The choice is written below the results, as the recipe tuned:NAME. A search that was interrupted goes on where it
    stopped, and any number of calls may work on one at the same time.
    """
    from bench.cli.grid import Launch
    from bench.cli.grid import grid as run_grid
    from bench.cli.tune import check_local, suite_word, tuned_path
    from bench.cli.tune import tune as search
    from bench.grid.request import Request, device_of
    from bench.settings import LoaderSettings, RunSettings
    from bench.tune.search import TuneRequest

    check_local(launcher)
    request = Request(
        methods=methods,
        suite=suite,
        tasks=tasks,
        backbone=backbone,
        recipe=recipe and tuned_path(recipe, results),
        seeds=str(seed),
        epochs=epochs,
        batch_size=batch_size,
        precision=precision,
        data=data,
        set=tuple(set_ or ()),
        split="val",
    ).absolute()
    asked = TuneRequest(request, name or suite_word(suite), trials, sampler, space, seed, choose, prune)
    settings = RunSettings(
        device_of(device),
        loader=LoaderSettings(on_bad_image=on_bad_image),
        cache_features=cache_features,
        cache_folder=results.absolute() / "features",
    )
    launch = Launch(workers, None, device)
    path = search(asked, results, settings, launch, console())
    if path is None:
        raise KeyboardInterrupt
    if not then_test:
        return
    tested = Request(
        methods=methods, suite=suite, tasks=tasks, backbone=backbone, recipe=str(path), seeds=str(seed), data=data
    )
    outcome = run_grid(tested.absolute(), results, settings, console(), launch)
    _finish(outcome, results, out, suite)


@app.command(cls=Command)
def cost(
    methods: Annotated[
        str, typer.Option(help="[b]all[/b], or specs: [b]lora:layer=1..12[/b], [b]vpt_deep:tokens=1/10/50[/b].")
    ] = "all",
    backbone: Annotated[
        str, typer.Option(help="As for training; no weights are read.")
    ] = "random:vit_base_patch16_224",
    image_size: options.ImageSize = None,
    classes: Annotated[int, typer.Option(min=1, max=options.LARGEST, help="Outputs of the head.")] = 100,
    batch_size: Annotated[
        int, typer.Option(min=1, max=options.LARGEST, help="Images of a training step and of inference.")
    ] = 64,
    precision: Annotated[options.Precision, typer.Option(help="Of matrix products; CUDA's autocast rules.")] = "fp32",
    attention: Annotated[options.Attention, typer.Option(help="The kernel.")] = "fused",
    optimizer: Annotated[options.OptimizerName, typer.Option(help="[b]adamw8bit[/b] has quantised states.")] = "adamw",
    activations: options.Activations = None,
    optimizer_in_backward: options.InBackward = False,
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Recompute each block in the backward pass.")
    ] = False,
    autograd: Annotated[
        Literal["current", "legacy"],
        typer.Option(help="[b]legacy[/b] keeps what PyTorch 1.7 kept, as older tables did."),
    ] = "current",
    device: Annotated[
        options.DeviceName, typer.Option(help="Where to measure; [b]auto[/b] takes CUDA or only plans.")
    ] = "auto",
    planned: Annotated[bool, typer.Option("--planned", help="Only plan, whatever there is.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the twenty largest tensors at the peak, too.")
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(metavar="12GiB", help="Find the largest batch that fits, with a margin of 5 % + 512 MiB."),
    ] = None,
    json_: options.Json = False,
    results: options.Results = ROOT / "results",
) -> None:
    """Memory, work, speed and parameters of methods, without data or training: planned, and measured on CUDA."""
    with importing():
        from bench.cli.cost import CostRequest, document, show
        from bench.cli.cost import cost as price
        from reports import cost_conditions, show_costs

    recipe = {
        "batch_size": batch_size,
        "precision": precision,
        "attention": attention,
        "optimizer": optimizer,
        "activations": ",".join(activations or ()),
        "optimizer_in_backward": optimizer_in_backward,
    }
    words = recipe, checkpointing, autograd, device, planned, explain, budget
    answer = price(CostRequest(methods, backbone, image_size, classes, *words), results, console(stderr=True))
    if json_:
        typer.echo(document(answer))
        return
    if budget is None:
        show_costs(answer.records, console())
    else:
        say(console(), cost_conditions(answer.records))
    show(answer, console())


@app.command("list", cls=Command)
def list_(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND|NAME",
            help="[b]methods[/b], [b]tasks[/b], [b]suites[/b], [b]backbones[/b], [b]recipes[/b], "
            "[b]preprocessings[/b] or [b]reports[/b], or one name among them; all of them if left out.",
        ),
    ] = None,
    word: Annotated[
        str | None, typer.Argument(metavar="WORD", help="With [b]backbones[/b]: all names that have it in them.")
    ] = None,
    json_: options.Json = False,
) -> None:
    """What can be named on the command line."""
    from bench.cli.list import catalogue, document
    from reports import REPORTS

    if json_:
        typer.echo(document(name, REPORTS, word))
        return
    for table in catalogue(name, REPORTS, word):
        console().print(table)


@app.command(cls=Command)
def report(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="REPORT", help="Of [b]list reports[/b]; all of them if left out.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Show the papers' own numbers alone, without a run of one's own.")
    ] = False,
    results: options.Results = ROOT / "results",
    out: options.Output = ROOT / "reports" / "out",
) -> None:
    """Tables and figures from the records on disk.

    A report of costs that is asked for by name first plans what is missing, and says so; nothing is trained or
    measured. Without names, only what is there is shown.
    """
    from bench.errors import UsageError
    from reports import COST_REPORTS, PUBLISHED, REPORTS, pick, write_all, write_published

    check_folder(out, "--out")
    if not set(names or ()) <= set(REPORTS):
        from bench.names import check  # here, because it imports torch

        check("report", names or (), REPORTS)
    picked = pick(names)
    if published:
        if without := [name for name in picked if names and name not in PUBLISHED]:
            raise UsageError(f"no published tables of {', '.join(without)}; --published knows {', '.join(PUBLISHED)}")
        write_published(names and picked, out, console())
        return
    wanted = [name for name in picked if name in COST_REPORTS]
    if not wanted or not (names or (results / "cost").is_dir()):
        write_all(results, names, out, console())
        return
    from bench.cli.report import plan_missing  # here, because it imports torch
    from bench.runner.stale import current

    if names:
        plan_missing(wanted, results, console(stderr=True))
    write_all(results, names, out, console(), current=current)


@app.command(cls=Command)
def predict(
    record: Annotated[
        Path, typer.Argument(metavar="RECORD", help="The record of a run that was made with [b]--keep weights[/b].")
    ],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Image files.")],
    top: Annotated[int, typer.Option(min=1, help="Classes shown for each image.")] = 5,
    backbone: Annotated[
        str | None, typer.Option(metavar="NAME=FILE", help="Where the weight file of the run is, if it was a file.")
    ] = None,
    device: options.Device = "auto",
    json_: options.Json = False,
) -> None:
    """The most likely classes of images, by the network of a run whose weights were kept."""
    from bench.cli.predict import document, predict, show
    from bench.errors import UsageError

    answer = predict(record, images, top, backbone, device)
    if json_:
        typer.echo(document(answer))
    else:
        show(answer, console())
    if answer.failed:
        raise UsageError("; ".join(answer.failed.values()))


@app.command(cls=Command)
def doctor(
    data: options.Data = ROOT / "data",
    results: options.Results = ROOT / "results",
    out: options.Output = ROOT / "reports" / "out",
    json_: options.Json = False,
) -> None:
    """Check that this machine can run the bench: libraries, devices, folders, data, network, a small run.

    Exit code 1 where something is a problem; the output is the report to paste into an issue.
    """
    from bench.cli.doctor import document, examine, healthy, show

    with console(stderr=True).status("looking at this machine"):
        checks = list(examine(results, out, data))
    if json_:
        typer.echo(document(checks))
    else:
        show(checks, console())
    raise typer.Exit(0 if healthy(checks) else 1)
