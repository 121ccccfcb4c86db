"""The options of the command line, each with the words that explain it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

ROOT = Path(__file__).resolve().parent.parent.parent
WHAT, HOW, IMAGES, SPEED, WHERE, START = (
    "What is run", "How it is trained", "Images", "Speed", "Where", "How runs are started",
)  # fmt: skip

LARGEST = 1_000_000  # images in a batch, or classes; beyond it the bytes of a tensor no longer fit a machine word

Precision = Literal["fp32", "bf16", "fp16"]
Attention = Literal["fused", "eager"]
OptimizerName = Literal["adamw", "adam", "sgd", "adamw8bit"]
DeviceName = Literal["auto", "cpu", "cuda"]


def _option(panel: str, *names: str, **words: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **words)


Methods = Annotated[
    str,
    _option(
        WHAT, help="[b]all[/b], or specs: [b]lora,vpt_deep:tokens=5[/b]; [b]1..12[/b] and [b]1/10[/b] sweep a setting."
    ),
]
Suite = Annotated[
    str, _option(WHAT, help="Tasks to train on: [b]folder:PATH[/b] for your own images, or see [b]list suites[/b].")
]
Tasks = Annotated[str | None, _option(WHAT, help="Some tasks of the suite, comma-separated.")]
Backbone = Annotated[
    str | None,
    _option(
        WHAT,
        help="Any of [b]list backbones[/b], [b]hf-hub:USER/NAME[/b], [b]NAME=FILE[/b] or [b]random:NAME[/b]; else the "
        "suite's own.",
    ),
]
ImageSize = Annotated[
    int | None,
    _option(WHAT, min=1, metavar="PIXELS", help="Side of the images, if not the backbone's own; resizes positions."),
]
RecipeName = Annotated[
    str | None,
    _option(WHAT, "--recipe", help="How to train: of [b]list recipes[/b], or [b]FILE.toml[/b]; else the suite's own."),
]
Seeds = Annotated[str, _option(WHAT, help="[b]0,1,2[/b] or [b]0..2[/b].")]
Force = Annotated[bool, _option(WHAT, "--force", help="Run again what is there already; old records are renamed.")]
Stale = Annotated[
    Literal["redo", "keep"],
    _option(
        WHAT,
        "--stale",
        help="What settings, recipe or the code of a method no longer give: do again, or [b]keep[/b] as it is.",
    ),
]
DryRun = Annotated[bool, _option(WHAT, "--dry-run", help="Say what would run and how long it takes, then stop.")]

Epochs = Annotated[
    int | None, _option(HOW, help="Times through the images, instead of the recipe's; warm-up keeps its share.")
]
Set = Annotated[
    list[str] | None,
    _option(
        HOW,
        "--set",
        metavar="FIELD=VALUE",
        help="Any field of the recipe; [b]learning_rate=1e-4/1e-3[/b] sweeps; may be given again.",
    ),
]
BatchSize = Annotated[int | None, _option(HOW, help="Images of a training step, instead of the recipe's.")]
PrecisionInstead = Annotated[
    Precision | None, _option(HOW, "--precision", help="Of matrix products, instead of the recipe's.")
]
AttentionInstead = Annotated[Attention | None, _option(HOW, "--attention", help="The kernel, instead of the recipe's.")]
Preprocessing = Annotated[
    str | None,
    _option(
        HOW,
        help="Of images, as a source did it; else the suite's, else the recipe's; see [b]list preprocessings[/b].",
    ),
]
Normalise = Annotated[
    str | None,
    _option(
        HOW,
        "--normalise",
        metavar="MEAN/STD",
        help="Of a local weight file that does not say it: [b]imagenet[/b], [b]half[/b], or numbers.",
    ),
]

Activations = Annotated[
    list[str] | None,
    _option(
        HOW,
        metavar="OPTION,…",
        help="Keep less for the backward pass: [b]regelu2[/b] (approximate gradients of GELU), [b]ms_ln[/b] (exact; "
        "norms merge into layers after them), [b]both[/b], [b]velora:fc2[/b] (approximate gradients of named layers).",
    ),
]
Optimizer = Annotated[
    OptimizerName | None,
    _option(HOW, "--optimizer", help="Instead of the recipe's; [b]adamw8bit[/b] quantises AdamW's states."),
]
InBackward = Annotated[
    bool,
    _option(
        HOW,
        "--optimizer-in-backward",
        help="Update each tensor in the backward pass and free its gradient; no result changes.",
    ),
]

Data = Annotated[
    Path,
    _option(
        IMAGES,
        "--data",
        metavar="DIR",
        envvar="PETL_BENCH_DATA",
        help="Where images of suites lie; [b]data fetch[/b] fills it.",
    ),
]
OnBadImage = Annotated[
    Literal["fail", "skip"], _option(IMAGES, help="[b]skip[/b] leaves out what does not decode; records count it.")
]
DecodeWorkers = Annotated[
    int | None, _option(IMAGES, min=0, help="Processes that decode images; one a core if left out.")
]

FeatureCache = Annotated[
    Literal["auto", "on", "off"],
    _option(
        SPEED, "--cache-features", help="Compute what is frozen once, not in every epoch; [b]auto[/b]: where it pays."
    ),
]
FeatureLimit = Annotated[
    str | None,
    _option(SPEED, metavar="8GiB,32GiB,50GiB", help="For these features on the device, in pinned memory, on disk."),
]
Compile = Annotated[
    Literal["off", "kernels"],
    _option(SPEED, "--compile", help="Let torch.compile make [b]kernels[/b]."),
]

Device = Annotated[DeviceName, _option(WHERE, "--device", help="[b]auto[/b] takes CUDA where there is one.")]
Results = Annotated[Path, _option(WHERE, "--results", metavar="DIR", help="Where records are kept.")]
Output = Annotated[Path, _option(WHERE, "--out", metavar="DIR", help="Where tables and figures are written.")]
Keep = Annotated[
    str,
    _option(
        WHERE,
        help="Beside each record: [b]features[/b] or [b]predictions[/b] of test images, [b]weights[/b] that "
        "learned, for [b]predict[/b]; several with commas.",
    ),
]
Log = Annotated[
    Literal["off", "tensorboard", "trackio", "wandb"],
    _option(WHERE, "--log", help="Write loss, accuracy and memory of every epoch to a tracker that is installed."),
]
Budget = Annotated[
    str | None,
    _option(WHERE, "--budget", metavar="12GiB", help="Of a card's memory: say which method within it is the best."),
]

Workers = Annotated[
    int | None, _option(START, help="Runs at once, each in a process of its own; a GPU each where there are GPUs.")
]
Launcher = Annotated[
    Literal["local", "slurm"], _option(START, "--launcher", help="[b]slurm[/b] submits a job array and returns.")
]
Slurm = Annotated[
    str | None,
    _option(
        START,
        metavar="K=V,…",
        help="[b]partition=gpu,time=4:00:00[/b], gpus=1, array=32 (jobs, which share the runs).",
    ),
]
Patience = Annotated[
    float, _option(START, metavar="MINUTES", min=0.1, help="Until a worker process that says nothing counts as hung.")
]


def _show_version(asked: bool) -> None:
    if asked:
        document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        typer.echo(f"petl-bench {document['project']['version']}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and stop.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document and nothing else.")]
