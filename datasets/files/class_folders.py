"""Understands how a folder of images is laid out: which of its folders are splits, which are classes, what is left out.

Names in use for splits are known (`train`, `training_set`, `seg_train`, `fruits-train`, …), and folders that only wrap
another one are looked through. What could be read in two ways is refused, with what was seen and what to write instead.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from datasets.files.image_tree import Folder, class_name, counted, shown

__all__ = ["Classes", "Layout", "Unclear", "laid_out", "named"]

WORDS = {
    "train": ("train", "training", "trainval", "trn"),
    "test": ("test", "testing", "tst", "eval", "evaluation", "holdout"),
    "val": ("val", "valid", "validation", "validate", "dev", "development"),
}
BESIDE = (  # what stands beside such a word and changes nothing
    *("set", "sets", "data", "dataset", "datasets", "split", "part", "folder", "files", "samples", "seg", "the", "my"),
    *("image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "pics", "original", "raw", "cropped"),
    *("resized", "final", "public", "private"),
)
NOISE = f"(?:{'|'.join(sorted(BESIDE, key=len, reverse=True))})*"
SPLITS = {role: re.compile(f"{NOISE}(?:{'|'.join(words)}){NOISE}") for role, words in WORDS.items()}
PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+")  # of a name: words, also of camelCase
NOTES = frozenset((".xml", ".json", ".txt", ".csv", ".tsv", ".yaml", ".yml", ".md", ".mat", ".npy", ".npz", ".pkl"))
NOTES |= {".html", ".pdf", ".py", ".ipynb", ".toml", ".log", ".zip", ".gz", ".tar", ".db", ".parquet", ".pt", ".pth"}
ROLES = {"train": "train", "test": "test", "val": "test"}  # which option of the call a folder of that name goes behind

Call = Callable[..., str]  # `call(train=…, test=…)` words the suite that is asked for with these folders


class Unclear(ValueError):
    """A folder can be read in two ways, or in none; the message says what was seen and what to do."""


@dataclass(frozen=True)
class Classes:
    """Class folders: the images of each by the name of the class, and what of it cannot be read or is there twice."""

    folder: str
    images: Mapping[str, Sequence[str]]
    unread: Mapping[str, Sequence[str]] = field(default_factory=dict)
    again: Sequence[str] = ()  # further names of files that their class has already, in `images` no longer


@dataclass(frozen=True)
class Layout:
    """What is trained on, what is scored (None for a part of the former), and what tuning scores instead, if said."""

    train: Classes
    test: Classes | None = None
    val: Classes | None = None


def laid_out(root: Folder, call: Call) -> Layout:
    """Find splits and classes by the names of folders and by what they hold; raises Unclear."""
    here = _unwrapped(root)
    if roles := _roles(here):
        return _split(here, roles, call)
    return Layout(_classes(here, call))


def named(root: Folder, train: str, test: str | None, call: Call) -> Layout:
    """Take the folders that the user named: what lies in them are classes, whatever they are called; raises Unclear."""
    chosen = [_folder(root, path) for path in (train, test) if path is not None]
    if len({folder.path for folder in chosen}) < len(chosen):
        raise Unclear(f"train and test are both {_place(chosen[0])}: what is scored must not be trained on")
    scored = chosen[1] if test is not None else None
    found = _classes(_unwrapped(chosen[0], told=True), call, told=True, apart=scored.path if scored else None)
    return Layout(found, _classes(_for_test(scored, found), call, told=True) if scored else None)


def _folder(root: Folder, path: str) -> Folder:
    wanted = os.path.normpath(path)
    for folder in root.walk():
        if (folder.path or ".") == wanted:
            return folder
    there = ", ".join(shown(folder.name) for folder in root.folders) or "no folders"
    raise Unclear(f"there is no folder {shown(path)} in it, only {there}")


def _roles(here: Folder) -> dict[str, list[Folder]]:
    """Find folders that are named like a split; names like fruits_train only if fruits_test is there as well."""
    roles: dict[str, list[Folder]] = {}
    for folder in here.used_folders:
        if role := _role(folder.name):
            roles.setdefault(role, []).append(folder)
    return roles or _paired([folder for folder in here.used_folders if not folder.images])


def _paired(folders: Sequence[Folder]) -> dict[str, list[Folder]]:
    """Find folders whose names differ in the word for the split alone."""
    pairs: dict[tuple[str, ...], dict[str, list[Folder]]] = {}
    for folder in folders:
        words = _words(folder.name)
        for place, word in enumerate(words):
            for role in (role for role, known in WORDS.items() if word in known):
                pairs.setdefault((*words[:place], "*", *words[place + 1 :]), {}).setdefault(role, []).append(folder)
    return next((pair for pair in pairs.values() if "train" in pair and len(pair) > 1), {})


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in PART.findall(unicodedata.normalize("NFC", name)))


def _role(name: str) -> str | None:
    whole = "".join(_words(name))
    return next((role for role, pattern in SPLITS.items() if pattern.fullmatch(whole)), None)


def _unwrapped(folder: Folder, told: bool = False) -> Folder:
    """Go below folders that hold nothing but one folder of folders; one named like a split is none of these."""
    while not folder.images and len(folder.used_folders) == 1:
        (inner,) = folder.used_folders
        others = [path for each in folder.folders if each is not inner for path in each.all_others() or [""]]
        notes = all(os.path.splitext(path)[1].lower() in NOTES for path in others)
        own = _role(inner.name) and not told and _role(inner.name) != _role(folder.name)
        if inner.images or not inner.used_folders or own or not notes:
            break
        folder = inner
    return folder


def _for_test(folder: Folder, train: Classes) -> Folder:
    """Go below folders as `_unwrapped` does; but one folder with the name of a class is that class."""
    names = [class_name(each.name) for each in folder.used_folders]
    if len(names) == 1 and names[0] in train.images:
        return folder
    return _unwrapped(folder)


def _split(here: Folder, roles: Mapping[str, list[Folder]], call: Call) -> Layout:
    """Read a folder with folders that are named like splits."""
    parts = {}
    for role, folders in roles.items():
        if len(folders) > 1:
            names = " and ".join(repr(shown(folder.name)) for folder in folders)
            raise Unclear(f"{names} in {_place(here)} are both for {role}; say which: {_worded(call, roles)}")
        parts[role] = folders[0]
    others = [folder for folder in here.used_folders if folder not in parts.values()]
    _check_words(here, parts, others, call)
    test = parts.get("test") or parts.get("val")
    if others and test is None:
        raise Unclear(
            f"{_place(here)} has the folders {_listed(others)} beside {shown(parts['train'].name)}: "
            f"write {call(train=_path(here))} where all are classes, or "
            f"{call(train=_path(parts['train']))} to leave out the others"
        )
    if test is not None:
        _check_test(parts, test, call)
    train = _classes(_unwrapped(parts["train"]), call)
    val = _validation(parts["val"], train, call) if test and "val" in parts and test is not parts["val"] else None
    return Layout(train, _classes(_for_test(test, train), call) if test else None, val)


def _validation(folder: Folder, train: Classes, call: Call) -> Classes | None:
    """Find the classes in a validation folder; None where they are not clear, since only tuning reads it."""
    try:
        return _classes(_for_test(folder, train), call)
    except Unclear:
        return None


def _check_words(here: Folder, parts: Mapping[str, Folder], others: Sequence[Folder], call: Call) -> None:
    """A folder named like a split may be a class, and the one for training may have another name."""
    flat = [folder for folder in parts.values() if folder.images]
    if others and flat and (parts.get("train") in flat or "train" not in parts):
        raise Unclear(
            f"{_place(here)} has the folders {_listed(others)}, and {_held(flat[0])}: that may be a class of this "
            f"name, or a split, in which each class needs a folder; write {call(train=_path(here))} where it is a class"
        )
    if "train" in parts:
        if parts["train"] in flat and not parts["train"].used_folders:
            raise Unclear(
                f"{_held(parts['train'])} and no folders of classes, so that nothing says which class an image is of; "
                f"put those of each class in a folder of its name, {_path(parts['train'])}/CLASS/…"
            )
        return
    there = ", ".join(sorted(shown(folder.name) for folder in parts.values()))
    scored = _path(parts.get("test") or parts["val"])
    if others:
        raise Unclear(
            f"{_place(here)} has {there} but no train, and beside it {_listed(others)}; name the folder that is "
            f"trained on: {call(train=_path(others[0]) if len(others) == 1 else _path(here), test=scored)}"
        )
    first, *more = sorted(parts.values(), key=lambda folder: folder is parts.get("test"))
    raise Unclear(
        f"{_place(here)} has {there} but no train; name the folder of the training images train, or write "
        f"{call(train=_path(first), test=_path(more[0])) if more else call(train=_path(first))}"
    )


def _check_test(parts: Mapping[str, Folder], test: Folder, call: Call) -> None:
    if test.used_folders:
        return
    val = parts.get("val")
    instead = {"test": _path(val)} if val is not None and val is not test and val.used_folders else {}
    where = f"to score {_path(val)}" if val is not None and instead else "to score a part of the training images"
    raise Unclear(
        f"{_held(test)} and no folders of classes, so that nothing says what is right there; "
        f"write {call(train=_path(parts['train']), **instead)} {where}"
    )


def _classes(folder: Folder, call: Call, told: bool = False, apart: str | None = None) -> Classes:
    """Take every folder in it as a class, with the images anywhere below; one that is `apart` is none."""
    places = [place for place in folder.folders if place.path != apart]
    if folder.images and not places:
        raise Unclear(f"{_held(folder)} and no folders of classes; put those of each class in a folder of its name")
    if folder.images:
        raise Unclear(
            f"{_held(folder)} beside folders of classes ({_listed(places)}), so that nothing says which class these "
            "are of; move them into a class or away"
        )
    if folder.unread:
        raise Unclear(f"{shown(folder.unread[0])} may be a class, but cannot be read; mend it or take it away")
    if not told:
        _check_names(folder, places, call)
    images: dict[str, list[str]] = {}
    unread: dict[str, list[str]] = {}
    for place in places:
        name = class_name(place.name)
        if not place.used:
            raise Unclear(_empty(place))
        images[name] = sorted([*images.get(name, ()), *place.all_images()])
        unread[name] = [*unread.get(name, ()), *place.all_unread()]
        if not images[name]:
            raise Unclear(f"of the class {shown(place.path)} nothing can be read, such as {shown(unread[name][0])}")
    return Classes(folder.path, images, unread)


def _check_names(folder: Folder, places: Sequence[Folder], call: Call) -> None:
    """What lies in splits, or in folders that all hold the same folders, may be classes one level further down."""
    for place in places:
        if _role(place.name) and not place.images and place.used_folders:
            raise Unclear(
                f"{shown(place.path)} is named like a split, not like a class; write {call(train=_path(folder))} "
                "where it is a class"
            )
    inner = [{class_name(each.name) for each in place.used_folders} for place in places if not place.images]
    shared = sorted(set.intersection(*inner)) if len(inner) == len(places) > 1 else []
    if len(shared) < 2:
        return
    said = f"all folders in {_place(folder)} ({_listed(places)}) hold folders of the same names ({_some(shared)})"
    if any(_role(name) for name in shared):
        raise Unclear(f"{said}; put the splits above the classes, {next(filter(_role, shared))}/CLASS/…")
    raise Unclear(
        f"{said}; write {call(train=_path(places[0]), test=_path(places[1]))} where these are the classes, or "
        f"{call(train=_path(folder))} where {shown(places[0].name)} and the others are"
    )


def _empty(place: Folder) -> str:
    if files := counted(place.all_others()):
        return f"{shown(place.path)} has no image that is read here (.jpg, .png, … as Pillow reads), but {files}"
    return f"the folder {shown(place.path)} is empty: put images in it or take it away"


def _place(folder: Folder) -> str:
    return shown(folder.path) or "it"


def _path(folder: Folder | None) -> str:
    return folder.path or "." if folder else "."


def _held(folder: Folder) -> str:
    count = len(folder.images)
    return f"{_place(folder)} has {count} image{'s' if count > 1 else ''} directly in it"


def _listed(folders: Sequence[Folder]) -> str:
    return _some([folder.name for folder in folders])


def _some(names: Sequence[str]) -> str:
    return ", ".join([*map(shown, names[:5]), *(["…"] if len(names) > 5 else [])])


def _worded(call: Call, roles: Mapping[str, list[Folder]]) -> str:
    chosen = {ROLES[role]: _path(folders[0]) for role, folders in reversed(list(roles.items()))}
    return call(**chosen)
