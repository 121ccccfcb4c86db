"""Anyone's own images: `folder:PATH`, with the images of each class in a folder of its name.

PATH holds train/ and test/ (or val/, which is then scored), each with the class folders, or the class folders
themselves; those are split by `seed`, a fifth of each class for the test. A val/ beside test/ is what tuning scores.
`shots=10` trains on ten images a class.
How the folder was understood is said in one sentence (`Task.understood`); datasets/files/class_folders.py has the names
of splits that are known, and `train=DIR`, `test=DIR` say it where they do not help. Classes are in the order of their
names, character by character, as torchvision's ImageFolder has them: 1, 10, 11, 2.
"""

import dataclasses
import os
import random
import re
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datasets.base import Suite, Task, elsewhere
from datasets.files.class_folders import Classes, Layout, Unclear, laid_out, named
from datasets.files.copies import located
from datasets.files.image_tree import Folder, class_name, counted, shown, tree
from datasets.files.layout import Look
from datasets.files.links import counted_once, same_file
from datasets.files.listing import Listing, Listings, listing
from datasets.files.lists import Entry, Lines

__all__ = ["SUITE", "split_options"]

HOW = "folder:PATH[:shots=10][:seed=0], PATH with train/CLASS/…, test/CLASS/… or with CLASS/…"
OPTION = re.compile(r":(?=(?:shots|seed|train|test)=)")
TEST_SHARE = 5  # one image in so many is scored where the folder is not split
MOST_NAMES = 12  # of classes that are said


@dataclass(frozen=True)
class Wanted:
    """A folder and its options, as they stand behind the name of the suite."""

    path: Path
    shots: int | None = None
    seed: int = 0
    train: str | None = None  # folders below `path`, where the user names them
    test: str | None = None

    def label(self) -> str:
        """Give the name of the task, which says how the images were drawn."""
        options = {"shots": self.shots, "seed": self.seed}
        name = class_name(self.path.resolve().name)
        return name + "".join(f"-{name}{value}" for name, value in options.items() if value)

    def call(self, train: str | None = None, test: str | None = None) -> str:
        """Word the suite with these folders, to be copied into a shell."""
        options = {"train": train, "test": test, "shots": self.shots, "seed": self.seed}
        said = "".join(f":{name}={value}" for name, value in options.items() if value)
        return shown(shlex.quote(f"folder:{self.path}{said}"))


def split_options(text: str) -> list[str]:
    """Split what stands behind the name of the suite into the path, which may hold colons, and "name=value" options."""
    return OPTION.split(text)


def _parsed(options: str) -> Wanted:
    path, *words = split_options(options)
    values: dict[str, str] = {}
    for name, _, value in (word.partition("=") for word in words):
        if name in values:
            raise ValueError(f"suite folder: {name}= is there twice; write {HOW}")
        if name in ("shots", "seed") and (not value.isdecimal() or (name == "shots" and int(value) < 1)):
            raise ValueError(f"suite folder: {f'{name}={value}'!r} is no whole number; write {HOW}")
        if not value:
            raise ValueError(f"suite folder: {name}= needs a folder below PATH")
        values[name] = value
    if not path:
        raise ValueError(f"suite folder needs a path; write {HOW}")
    if "test" in values and "train" not in values:
        raise ValueError("suite folder: test=DIR needs train=DIR beside it, for the folder that is trained on")
    shots = int(values["shots"]) if "shots" in values else None
    return Wanted(Path(path).expanduser(), shots, int(values.get("seed", 0)), values.get("train"), values.get("test"))


def _suite(options: str) -> Suite:
    wanted = _parsed(options)
    root, layout, shared = _seen(wanted)
    names = sorted(layout.train.images)
    _check(wanted, layout, names)
    drawn = Draw(wanted, layout, tuple(names))
    lines = {split: Lines(tuple(entries)) for split, entries in drawn.entries().items()}
    places = dict.fromkeys(lines, wanted.path)
    look = Look(wanted.path, "class folders", lines, places, names=tuple(names), source=partial(OwnImages, draw=drawn))
    label = wanted.label()
    sizes = {split: len(part.entries) for split, part in lines.items()}
    said = _understood(wanted, root, layout, names, sizes)
    said += f"; {_plural(shared, 'file')} in more than one class" if shared else ""
    task = located(Task(label, "own", len(names), sizes, elsewhere(label), viewed=True, understood=said), look)
    return dataclasses.replace(
        SUITE,
        title=f"Your own images: {len(names)} classes",
        groups=("own",),
        tasks=(task,),
        look=lambda known, data: look,
    )


def _seen(wanted: Wanted) -> tuple[Folder, Layout, int]:
    """Find what lies in the folder, how it is laid out, and how many files are in several classes."""
    try:
        if not wanted.path.is_dir():
            what = "is a file and no folder" if wanted.path.exists() else "there is no folder of that name"
            raise ValueError(f"suite folder: {shown(str(wanted.path))}: {what}; write {HOW}")
        root = tree(wanted.path)
    except OSError as error:
        raise ValueError(f"suite folder: {shown(str(wanted.path))} cannot be read ({error.strerror})") from error
    if not root.used:
        files = counted(root.all_others()) or "nothing"
        raise ValueError(f"suite folder: {shown(str(wanted.path))} holds no images, but {files}; write {HOW}")
    try:
        if wanted.train is None:
            layout = laid_out(root, wanted.call)
        else:
            train, test = _below(wanted.path, wanted.train), wanted.test and _below(wanted.path, wanted.test)
            layout = named(root, train, test, wanted.call)
        return root, *counted_once(wanted.path, layout)
    except Unclear as error:
        raise ValueError(f"suite folder: {shown(str(wanted.path))}: {error}") from error


def _below(root: Path, path: str) -> str:
    return os.path.relpath(path, root.absolute()) if os.path.isabs(path) else path


def _check(wanted: Wanted, layout: Layout, names: Sequence[str]) -> None:
    """Raise ValueError for what can be read but not be trained on or scored."""
    where = f"suite folder: {shown(str(wanted.path))}"
    if len(names) < 2:
        raise ValueError(
            f"{where}: there is one folder with images, {shown(names[0])}, and so one class; at least two are needed, "
            "each in a folder of its own"
        )
    train, test = layout.train.images, layout.test.images if layout.test else None
    if test is None:
        for name in names:
            if len(train[name]) < 2:
                raise ValueError(f"{where}: class {shown(name)!r} has but one image, and needs two: one is scored")
        return
    if twice := {image for images in train.values() for image in images} & {i for many in test.values() for i in many}:
        raise ValueError(f"{where}: {shown(min(twice))} would be trained on and scored")
    if unknown := sorted(test.keys() - set(names)):
        alike = [name for name in names if name.casefold() == unknown[0].casefold()]
        case = f"; {shown(alike[0])!r}, which has some, is written otherwise: rename one" if alike else ""
        raise ValueError(
            f"{where}: class {shown(unknown[0])!r} is scored but has no training images: scored are "
            f"{_some(sorted(test))}, trained on {_some(names)}{case}"
        )


@dataclass(frozen=True)
class Draw:
    """Which images are trained on and which are scored: as the folder says, and where it does not, by the seed."""

    wanted: Wanted
    layout: Layout
    names: tuple[str, ...]  # of the classes, by label

    def entries(self, bad: Collection[str] = ()) -> dict[str, list[Entry]]:
        """Give the images of each split with their labels, drawn without those that are bad. Raises ValueError."""
        drawn = [self._of(name, bad) for name in self.names]
        return {
            split: [(image, label) for label, parts in enumerate(drawn) for image in parts[split][0]]
            for split in ("train", "test", "val")
            if split != "val" or self.layout.val is not None
        }

    def passed(self, split: str, bad: Collection[str]) -> int:
        """Give how many bad images the split would have had, those included that shots were drawn beyond."""
        return sum(self._of(name, bad)[split][1] for name in self.names)

    def _of(self, name: str, bad: Collection[str]) -> dict[str, tuple[list[str], int]]:
        """Return the images of a class in each split, and how many bad ones were passed over."""
        pool, given, seed = self.layout.train.images[name], self.layout.test, self.wanted.seed
        if given is None:
            divided = _shuffled(name, pool, seed)
            share = max(1, len(divided) // TEST_SHARE)
            scored, passed = _taken(divided, share, bad)
            pool = sorted(divided[share:])
        else:
            scored, passed = _taken(given.images.get(name, ()), None, bad)
        shots, away = self.wanted.shots, {*scored, *passed}
        order = _shuffled(name, pool, seed) if shots else pool
        chosen, beyond = _taken([image for image in order if image not in away], shots, bad)
        if shots and len(chosen) < shots:
            sound = " that can be decoded" if bad else ""
            raise ValueError(
                f"suite folder: class {shown(name)!r} has {_plural(len(chosen), 'training image')}{sound}, "
                f"fewer than shots={shots}"
            )
        lost = self.layout.train.unread.get(name, ()), given.unread.get(name, ()) if given else ()
        val = self.layout.val or Classes("", {})
        return {
            split: (
                sorted([*images, *(path for path in unread if path not in bad)]),
                len(skipped) + _count(unread, bad),
            )
            for split, images, skipped, unread in (
                ("train", chosen, beyond, lost[0]),
                ("test", scored, passed, lost[1]),
                ("val", *_taken(val.images.get(name, ()), None, bad), val.unread.get(name, ())),
            )
        }


def _shuffled(name: str, images: Sequence[str], seed: int) -> list[str]:
    drawn_by = f"{seed} {name}".encode(errors="surrogateescape")  # a name may be no UTF-8
    return random.Random(drawn_by).sample(images, len(images))


def _taken(order: Sequence[str], count: int | None, bad: Collection[str]) -> tuple[list[str], list[str]]:
    """Take the first so many that are not bad, or all, and the bad ones before the last of them."""
    taken, passed = list[str](), list[str]()
    for image in order:
        if count is not None and len(taken) == count:
            break
        (passed if image in bad else taken).append(image)
    return taken, passed


def _count(paths: Sequence[str], bad: Collection[str]) -> int:
    return sum(path in bad for path in paths)


@dataclass(frozen=True, eq=False)
class OwnImages(Listings):
    """The splits of one's own folder, which are drawn again where images are left out."""

    draw: Draw

    def pool(self, split: str) -> Sequence[str]:
        """Give the names of all images that the split may be drawn from."""
        layout = self.draw.layout
        classes = {"train": layout.train, "test": layout.test, "val": layout.val}[split] or layout.train
        return [path for kind in (classes.images, classes.unread) for paths in kind.values() for path in paths]

    def validation(self) -> str:
        """Return the digest of the validation folder's listing. Raises ValueError where it lacks or adds a class."""
        layout, names = self.draw.layout, self.draw.names
        if layout.val is None:
            return ""
        where = f"{shown(str(self.draw.wanted.path))}: tuning scores {shown(layout.val.folder)}/"
        mend = "mend it, or take the folder away and a fifth of the training images is scored"
        if missing := [name for name in names if not layout.val.images.get(name)]:
            raise ValueError(f"{where}, which has no images of {_some(missing)}; {mend}")
        if unknown := sorted(layout.val.images.keys() - set(names)):
            raise ValueError(f"{where}, where {_some(unknown)} has no training images; {mend}")
        trained, scored = (self.splits[split].names for split in ("train", "val"))
        if both := same_file(self.draw.wanted.path, trained, scored):
            raise ValueError(f"{where}, and {shown(both[0])} and {shown(both[1])} there are one file; {mend}")
        return self.splits["val"].digest

    def without(self, split: str, bad: Collection[str]) -> tuple[Listing, int]:
        """Give the split drawn among what is not bad, and how many bad images it would have had. Raises ValueError."""
        return listing(self.splits[split].folder, self.draw.entries(bad)[split]), self.draw.passed(split, bad)


def _understood(wanted: Wanted, root: Folder, layout: Layout, names: Sequence[str], sizes: Mapping[str, int]) -> str:
    """Say in one sentence: classes in their order, images, what is trained on, what is scored, what is left out."""
    train, test = (part and f"{shown(part.folder)}/".removeprefix("/") for part in (layout.train, layout.test))
    inside = f" in {train}" if train else ""
    shots = f"{_plural(wanted.shots, 'image')} a class" if wanted.shots else ""
    if test is not None:
        how = (
            f"trained on {shots + ' of ' if shots else ''}{train or 'the folder itself'}, scored on {test or 'itself'}"
        )
    else:
        kept = f"{shots} of the other four fifths" if shots else "the other four fifths"
        how = f"a fifth of each class{inside} scored, trained on {kept} (seed {wanted.seed})"
    drawn = f" (drawn by seed {wanted.seed})" if shots and test is not None else ""
    classes = f"{len(names)} classes ({_some(names, MOST_NAMES)})"
    said = f"{classes}, {sizes['train']:,} + {sizes['test']:,} images, {how}{drawn}"
    return "; ".join([said, *_left_out(root, layout, names)])


def _left_out(root: Folder, layout: Layout, names: Sequence[str]) -> list[str]:
    """Say what lies in the folder and is not used, or is used in part."""
    parts = [part for part in (layout.train, layout.test, layout.val) if part]
    again = [image for part in parts for image in part.again]
    used = {image for part in parts for images in part.images.values() for image in images}.union(again)
    spare = Counter(os.path.split(image)[0] for image in root.all_images() if image not in used)
    said = [
        f"{_plural(count, 'image')} in {shown(folder)}/ left out" for folder, count in sorted(_outermost(spare).items())
    ]
    if layout.val is not None:
        count = sum(map(len, layout.val.images.values()))
        said.insert(0, f"{_plural(count, 'image')} in {shown(layout.val.folder)}/ left out, which tune scores")
    if again:
        said.append(f"{_plural(len(again), 'further name')} of files that their class has already: {_some(again)}")
    if others := counted(root.all_others()):
        said.append(f"no images by their endings, and left out: {others}")
    if hidden := sorted({name for folder in root.walk() for name in folder.hidden}):
        said.append(f"hidden and system folders left out: {_some(hidden)}")
    if unread := [path for part in parts for paths in part.unread.values() for path in paths]:
        said.append(
            f"{_plural(len(unread), 'folder or link', 'folders or links')} that cannot be read: {_some(unread)}"
        )
    if layout.test and (missing := [name for name in names if name not in layout.test.images]):
        said.append(f"nothing is scored of {_some(missing)}, which {shown(layout.test.folder)}/ lacks")
    return said


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def _outermost(folders: Counter[str]) -> Counter[str]:
    """Counts by the folder nearest to the root."""
    found: Counter[str] = Counter()
    for folder, count in folders.items():
        found[folder.split(os.sep)[0]] += count
    return found


def _some(names: Sequence[str], most: int = 5) -> str:
    more = [f"… {shown(names[-1])}"] if len(names) > most else []
    return ", ".join([*map(shown, names[: most - len(more)]), *more])


SUITE = Suite(
    name="folder",
    title=f"Your own images: {HOW}",
    groups=(),
    tasks=(),
    recipe="common",
    backbone="vit_base_patch16_224.orig_in21k",
    vary=_suite,
)
