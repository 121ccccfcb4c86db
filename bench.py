"""The command line: one function per command, no logic. `python bench.py --help` explains it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from rich.console import Console

from bench.errors import WrongCall

ROOT = Path(__file__).resolve().parent
EPILOGUE = """
Examples:

  python bench.py                                      every method on the embedded suite, on this machine

  python bench.py --methods lora:rank=4/8/16,bitfit    two methods, one of them at three ranks

  python bench.py --methods lora:layer=1..12 --tasks digits --seeds 0..2

  python bench.py --methods all --suite demo --dry-run what would run, and how long it would take

  python bench.py --methods all --launcher slurm --slurm partition=gpu,gpus=1,time=4:00:00

  python bench.py cost --planned                       what every method takes, without a GPU

  python bench.py report                               tables, figures and one page from what is on disk

  python bench.py predict results/runs/…/lora-….json photo.jpg
"""

app = typer.Typer(rich_markup_mode="rich", add_completion=False, pretty_exceptions_enable=False)


class Precision(StrEnum):
    """Number formats of training."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Attention(StrEnum):
    """Attention kernels."""

    fused = "fused"
    eager = "eager"


class Device(StrEnum):
    """Where to train."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class CacheFeatures(StrEnum):
    """Whether frozen features are computed once."""

    auto = "auto"
    on = "on"
    off = "off"


class Compile(StrEnum):
    """What is compiled of a training step."""

    off = "off"
    kernels = "kernels"
    graphs = "graphs"


class Autograd(StrEnum):
    """Which tensors are kept for the backward pass."""

    current = "current"
    legacy = "legacy"


class BadImages(StrEnum):
    """What is done about an image that cannot be decoded."""

    fail = "fail"
    skip = "skip"


class Launcher(StrEnum):
    """Who starts the runs."""

    local = "local"
    slurm = "slurm"


class Kind(StrEnum):
    """What can be listed."""

    methods = "methods"
    tasks = "tasks"
    suites = "suites"
    backbones = "backbones"
    recipes = "recipes"
    reports = "reports"


records_app = typer.Typer(no_args_is_help=True, help="Check, merge and export folders of results.")
app.add_typer(records_app, name="results")

P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """No traceback reaches a user unless --debug: a wrong call exits with 2, anything else that goes wrong with 1."""

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            _stop("stopped; every run that had finished is kept, and the same call goes on from there", 130)
        except WrongCall as error:
            _stop(str(error), 2)
        except Exception as error:
            if isinstance(error, typer.Exit) or "--debug" in sys.argv:
                raise
            _stop(f"{type(error).__name__}: {error} (unexpected; --debug before the command shows where)", 1)

    return run


def _check_place(context: typer.Context) -> None:
    """Options of the grid do nothing before another command: say so instead of leaving them out."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if name != "debug" and source is not None and source.name == "COMMANDLINE":
            raise WrongCall(f"--{name.replace('_', '-')} must stand behind {context.invoked_subcommand}, not before it")


def _stop(message: str, code: int) -> None:
    _console(stderr=True).print(f"error: {message}" if code != 130 else message, markup=False, soft_wrap=True)
    raise typer.Exit(code)


def _console(stderr: bool = False) -> Console:
    return Console(stderr=stderr)


Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Where records are kept.")]
Data = Annotated[
    Path, typer.Option("--data", metavar="DIR", envvar="PETL_BENCH_DATA", help="Where images of suites lie.")
]
Output = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where tables and figures are written.")]


@app.callback(invoke_without_command=True, epilog=EPILOGUE)
@guarded
def grid(
    context: typer.Context,
    methods: Annotated[
        str,
        typer.Option(help="[b]all[/b], or specs: [b]lora,vpt_deep:tokens=5[/b]; [b]1..12[/b] and [b]1/10[/b] sweep."),
    ] = "all",
    suite: Annotated[str, typer.Option(help="Tasks to train on; see [b]list suites[/b].")] = "demo",
    tasks: Annotated[str | None, typer.Option(help="Some tasks of the suite, comma-separated.")] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="A row of [b]list backbones[/b], [b]NAME=FILE[/b], or [b]random:ARCHITECTURE[/b]."),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="How to train; see [b]list recipes[/b].")] = None,
    seeds: Annotated[str, typer.Option(help="[b]0,1,2[/b] or [b]0..2[/b].")] = "0",
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's; warm-up keeps its share.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    precision: Annotated[Precision | None, typer.Option(help="Instead of the recipe's.")] = None,
    attention: Annotated[Attention | None, typer.Option(help="Instead of the recipe's.")] = None,
    preprocessing: Annotated[
        str | None, typer.Option(help="Of images, as a source did it, instead of the recipe's: [b]vpt[/b], [b]dtl[/b].")
    ] = None,
    device: Annotated[Device, typer.Option(help="[b]auto[/b] takes CUDA where there is one.")] = Device.auto,
    data: Data = ROOT / "data",
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep decoded images there for the next call.")
    ] = None,
    cache_limit: Annotated[str, typer.Option(metavar="64GiB", help="What it may take.")] = "64GiB",
    on_bad_image: Annotated[
        BadImages, typer.Option(help="[b]skip[/b] leaves out what does not decode; records count it.")
    ] = BadImages.fail,
    decode_workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode images; one a core if left out.")
    ] = None,
    cache_features: Annotated[
        CacheFeatures, typer.Option(help="Compute what is frozen once, not in every epoch; [b]auto[/b]: where it pays.")
    ] = CacheFeatures.auto,
    feature_limit: Annotated[
        str | None,
        typer.Option(metavar="8GiB,32GiB,50GiB", help="For these features on the device, in pinned memory, on disk."),
    ] = None,
    compile_: Annotated[
        Compile, typer.Option("--compile", help="Compile [b]kernels[/b], or CUDA [b]graphs[/b] for small steps.")
    ] = Compile.off,
    results: Results = ROOT / "results",
    out: Output = ROOT / "reports" / "out",
    keep: Annotated[
        str, typer.Option(help="Beside each record: [b]features[/b] of test images, [b]weights[/b] that learned.")
    ] = "",
    workers: Annotated[
        int | None, typer.Option(help="Runs at once, each in a process of its own; a GPU each where there are GPUs.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="K/N", help="[b]2/8[/b]: the second of eight equally long parts of the grid.")
    ] = None,
    launcher: Annotated[Launcher, typer.Option(help="[b]slurm[/b] submits a job array and returns.")] = Launcher.local,
    slurm: Annotated[
        str | None,
        typer.Option(
            metavar="K=V,…",
            help="[b]partition=gpu,time=4:00:00[/b], gpus=1, array=32 (jobs at once), chunk=4 (runs a job).",
        ),
    ] = None,
    patience: Annotated[
        float, typer.Option(metavar="MINUTES", min=0.1, help="Until a worker without a first epoch counts as hung.")
    ] = 60.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and how long it takes, then stop.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Run again what is there already.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Train PETL methods on a suite of tasks and measure accuracy, memory, parameters and time.

    Finished runs are kept and skipped: a call that was interrupted goes on where it stopped.
    """
    if context.invoked_subcommand is not None:
        _check_place(context)
        return
    from bench.budget import bytes_of
    from bench.commands import grid as run_grid
    from bench.execution import Execution, Keep, Reading
    from bench.folder import check_folder
    from bench.keep import kinds_of
    from bench.launch import Launch
    from bench.request import Request, device_of
    from bench.slurm_options import slurm_options
    from bench.speed_options import SpeedOptions
    from reports import write_all

    if not dry_run:
        check_folder(out, "--out")
    words = epochs, batch_size, precision and precision.value, attention and attention.value, preprocessing
    request = Request(methods, suite, tasks, backbone, recipe, seeds, *words, data)
    reading = Reading(decode_workers, cache, bytes_of(cache_limit), on_bad_image.value)
    launch = Launch(workers, shard, slurm_options(launcher.value, slurm, workers), device.value)
    place = device_of("auto" if launch.slurm else device.value)  # the machine that submits may have no GPU
    speed = SpeedOptions(cache_features.value, feature_limit, compile_.value).fields(place, results)
    kept = Keep(kinds_of(keep), results.absolute())
    how = Execution(place, keep=kept, reading=reading, patience_seconds=60 * patience, **speed)
    outcome = run_grid(request, results, how, dry_run, force, _console(), launch)
    if not dry_run:
        write_all(results, None, out, _console(), outcome.records)
    raise typer.Exit(1 if outcome.failed else 0)


@app.command()
@guarded
def cost(
    methods: Annotated[
        str, typer.Option(help="[b]all[/b], or specs: [b]lora:layer=1..12[/b], [b]vpt_deep:tokens=1/10/50[/b].")
    ] = "all",
    backbone: Annotated[
        str, typer.Option(help="As for training; no weights are read.")
    ] = "random:vit_base_patch16_224",
    classes: Annotated[int, typer.Option(help="Outputs of the head.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Images of a training step and of inference.")] = 64,
    precision: Annotated[Precision, typer.Option(help="Of matrix products; CUDA's autocast rules.")] = Precision.fp32,
    attention: Annotated[Attention, typer.Option(help="The kernel.")] = Attention.fused,
    optimizer: Annotated[str, typer.Option(help="[b]adamw[/b], [b]adam[/b] or [b]sgd[/b].")] = "adamw",
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Recompute each block in the backward pass.")
    ] = False,
    autograd: Annotated[
        Autograd, typer.Option(help="[b]legacy[/b] keeps what PyTorch 1.7 kept, as older tables did.")
    ] = Autograd.current,
    device: Annotated[
        Device, typer.Option(help="Where to measure; [b]auto[/b] takes CUDA or only plans.")
    ] = Device.auto,
    planned: Annotated[bool, typer.Option("--planned", help="Only plan, whatever there is.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="The twenty largest tensors at the peak.")] = False,
    budget: Annotated[
        str | None,
        typer.Option(metavar="12GiB", help="Find the largest batch that fits, with a margin of 5 % + 512 MiB."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")] = False,
    results: Results = ROOT / "results",
) -> None:
    """Memory, work, speed and parameters of methods, without data or training: planned, and measured on CUDA."""
    from bench.cost_command import cost as price
    from bench.cost_request import CostRequest
    from bench.cost_shown import document, show
    from reports import show_costs

    words = precision.value, attention.value, optimizer, checkpointing, autograd.value
    request = CostRequest(methods, backbone, classes, batch_size, *words)
    answer = price(request, device.value, planned, explain, budget, results, _console(stderr=True))
    if json_:
        typer.echo(document(answer))
        return
    if budget is None:
        show_costs(answer.records, _console())
    show(answer, _console())


@app.command("list")
@guarded
def list_(kind: Annotated[Kind | None, typer.Argument(help="One kind; all of them if left out.")] = None) -> None:
    """What can be named on the command line."""
    from bench.catalogue import KINDS, catalogue
    from reports import REPORTS

    for name in [kind.value] if kind else KINDS:
        _console().print(catalogue(name, REPORTS.items()))


@app.command()
@guarded
def report(
    names: Annotated[list[str] | None, typer.Argument(help="Some reports; all of them if left out.")] = None,
    results: Results = ROOT / "results",
    out: Output = ROOT / "reports" / "out",
) -> None:
    """Tables and figures from the records on disk.

    A report of costs that is asked for by name plans what it lacks first; without names, only what is there is shown.
    """
    from bench.folder import check_folder
    from reports import COST_REPORTS, pick, write_all

    check_folder(out, "--out")
    try:
        picked = pick(names)
    except ValueError as error:
        raise WrongCall(str(error)) from error
    code = None
    wanted = [name for name in picked if name in COST_REPORTS]
    if wanted and (names or (results / "cost").is_dir()):  # what follows imports torch
        from bench.cost import code_digest
        from bench.wanted import prepare

        code = prepare(wanted, results, _console(stderr=True)) if names else code_digest()
    write_all(results, names, out, _console(), code=code)


@app.command()
@guarded
def predict(
    record: Annotated[Path, typer.Argument(help="The record of a run that was made with [b]--keep weights[/b].")],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    top: Annotated[int, typer.Option(min=1, help="Classes shown for each image.")] = 5,
    backbone: Annotated[
        str | None, typer.Option(metavar="NAME=FILE", help="Where the weight file of the run is, if it was a file.")
    ] = None,
    device: Annotated[Device, typer.Option(help="[b]auto[/b] takes CUDA where there is one.")] = Device.auto,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """The most likely classes of images, by the network of a run whose weights were kept."""
    from bench.predict import document, predict, show

    answer = predict(record, images, top, backbone, device.value)
    if json_:
        typer.echo(document(answer))
    else:
        show(answer, _console())


data_app = typer.Typer(rich_markup_mode="rich", help="What images are there, what is wrong with them, how to get them.")
app.add_typer(data_app, name="data")


@data_app.command("check")
@guarded
def data_check(
    suite: Annotated[str, typer.Argument(help="As for training; see [b]list suites[/b].")],
    data: Data = ROOT / "data",
    json_: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """Find, count and decode every image of a suite; exit code 1 when something is missing or wrong."""
    from bench.data_commands import check, document, show

    checked = check(suite, data, _console(stderr=json_))
    if json_:
        typer.echo(document(suite, data, checked))
    else:
        show(suite, checked, _console())
    raise typer.Exit(0 if all(task.sound for task in checked) else 1)


@data_app.command("fetch")
@guarded
def data_fetch(
    suite: Annotated[str, typer.Argument(help="A suite that is published as a whole: [b]vtab[/b].")],
    data: Data = ROOT / "data",
) -> None:
    """Download a suite and unpack it; a call that was stopped goes on where it was."""
    from bench.data_fetch import fetch

    place = fetch(suite, data, _console())
    _console().print(f"{place} is complete; look at it with: python bench.py data check {suite}", soft_wrap=True)


@records_app.command("check")
@guarded
def check_results(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that holds runs/.")] = ROOT / "results",
    json_: Annotated[bool, typer.Option("--json", help="One JSON document instead of sentences.")] = False,
) -> None:
    """Read every record; name what is damaged, misplaced, left over or claimed. Exit code 1 if not all is sound."""
    from bench.records_command import check

    raise typer.Exit(0 if check(folder, json_, _console()) else 1)


@records_app.command("merge")
@guarded
def merge_results(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to take from; it stays as it is.")],
    results: Results = ROOT / "results",
) -> None:
    """Bring what only another folder has into this one. A record never takes the place of another sound one."""
    from bench.records_command import merge_into

    raise typer.Exit(0 if merge_into(results, folder, _console()) else 1)


@records_app.command("export")
@guarded
def export_results(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .parquet or .csv.")],
    results: Results = ROOT / "results",
) -> None:
    """Write every record into one flat table, a row a run."""
    from bench.records_command import export_to

    raise typer.Exit(0 if export_to(results, file, _console()) else 1)


if __name__ == "__main__":
    app()
