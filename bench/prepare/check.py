"""What is wrong with a copy of a suite: every finding names the task and the files it is about."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.data.scan import Seen, scan
from datasets import Suite, Task
from datasets.files.copies import out_of_range
from datasets.files.layout import Look
from datasets.suites.vtab import LAYOUTS
from results import numbered

__all__ = ["Checked", "Finding", "check_task", "images_in", "look_for"]

EXPORTED = "JPEGs of quality 75"
WHY_EXPORTED = ", as the text-list export re-encoded them: CIFAR-100 loses about ten points by that"
EXPORTS = frozenset(layout.name for layout in LAYOUTS)


@dataclass(frozen=True)
class Finding:
    """A defect changes or prevents results; a note is something to know."""

    kind: str
    weight: Literal["defect", "note"]
    message: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checked:
    """A task as it was found."""

    task: Task
    look: Look
    findings: tuple[Finding, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """Entries of the list of each split."""
        return {split: len(lines.entries) for split, lines in self.look.splits.items()}

    @property
    def sound(self) -> bool:
        """Whether nothing is missing or wrong."""
        return self.look.complete and not any(finding.weight == "defect" for finding in self.findings)


def look_for(suite: Suite, tasks: Sequence[Task], data: Path) -> list[tuple[Task, Look]]:
    """Read the lists of all tasks; raises ValueError for a suite without files."""
    look = suite.look
    if look is None:
        raise ValueError(f"suite {suite.name} is made by the program and has no files to check")
    return [(task, look(task, data)) for task in tasks]


def images_in(look: Look) -> int:
    """Return how many files there are to inspect."""
    return sum(len(names) for names in _names_by_folder(look).values())


def check_task(task: Task, look: Look, workers: int, advance: Callable[[int], None] = lambda _: None) -> Checked:
    """Inspect every image of a task."""
    seen = {folder: scan(folder, names, workers, advance) for folder, names in _names_by_folder(look).items()}
    findings = [*_published(task), *_lists(look), *_labels(task, look), *_counts(task, look), *_repeated(look)]
    findings += [*_files(look, seen), *_twice(look, seen), *_encoding(look, seen)]
    return Checked(task, look, tuple(_weighed(task, finding) for finding in findings))


def _weighed(task: Task, finding: Finding) -> Finding:
    """Weigh a finding: what the published copy has too is no defect of this one."""
    return dataclasses.replace(finding, weight="note") if finding.kind in task.known else finding


def _published(task: Task) -> Iterator[Finding]:
    if task.note:
        yield Finding("published", "note", task.note)
    if task.understood:
        yield Finding("layout", "note", task.understood)


def _names_by_folder(look: Look) -> dict[Path, list[str]]:
    names: dict[Path, dict[str, None]] = {}
    for split, lines in look.splits.items():
        names.setdefault(look.images[split], {}).update((name, None) for name, _ in lines.entries)
    return {folder: list(found) for folder, found in names.items()}


def _lists(look: Look) -> Iterator[Finding]:
    if look.folder is None:
        yield Finding("missing task", "defect", "there is no folder of this task")
    elif look.missing:
        weight: Literal["defect", "note"] = "note" if look.complete else "defect"
        yield Finding("missing list", weight, f"no {', '.join(look.missing)} in {look.folder.name}", look.missing)
    problems = [problem for lines in look.splits.values() for problem in lines.problems]
    if problems:
        count = numbered(len(problems), "line")
        yield Finding("list", "defect", f"{count} that cannot be used", tuple(problems))


def _labels(task: Task, look: Look) -> Iterator[Finding]:
    for split, lines in look.splits.items():
        if wrong := tuple(out_of_range(lines.entries, task.classes)):
            yield Finding("label", "defect", f"{split}: {numbered(len(wrong), 'label')} out of range", wrong)
    if look.complete:
        seen = {label for lines in look.splits.values() for _, label in lines.entries}
        if lost := task.classes - len(seen & set(range(task.classes))):
            yield Finding("classes", "note", f"{lost} of {task.classes} classes have no image in any list")


def _counts(task: Task, look: Look) -> Iterator[Finding]:
    wrong = []
    for split, lines in look.splits.items():
        published = task.sizes.get("train" if split in look.training else split)
        if published is not None and len(lines.entries) != published:
            wrong.append(f"{split} {len(lines.entries):,} instead of {published:,}")
    if wrong:
        yield Finding("count", "defect", f"images: {', '.join(wrong)}")


def _repeated(look: Look) -> Iterator[Finding]:
    for split, lines in look.splits.items():
        counts = Counter(name for name, _ in lines.entries)
        if repeated := tuple(name for name, count in counts.items() if count > 1):
            yield Finding(
                "repeated", "defect", f"{split}: {numbered(len(repeated), 'image')} listed more than once", repeated
            )


def _files(look: Look, seen: Mapping[Path, Seen]) -> Iterator[Finding]:
    for folder, found in seen.items():
        if found.gone:
            yield Finding("gone", "defect", f"{numbered(len(found.gone), 'listed image')} not there", found.gone)
        bad = [f"{name}: {facts.problem}" for name, facts in found.facts.items() if facts.problem]
        if bad:
            yield Finding("image", "defect", f"{numbered(len(bad), 'image')} in {folder} cannot be decoded", tuple(bad))


def _twice(look: Look, seen: Mapping[Path, Seen]) -> Iterator[Finding]:
    """Find images whose content is both trained on and scored."""
    train: dict[str, str] = {}
    for split in look.training:
        train |= {digest: name for name, digest in _digests(look, seen, split)}
    shared = tuple(
        f"{name} is {train[digest]}" for name, digest in _digests(look, seen, "test") if digest and digest in train
    )
    if shared:
        yield Finding("duplicate", "defect", f"{numbered(len(shared), 'test image')} also trained on", shared)


def _digests(look: Look, seen: Mapping[Path, Seen], split: str) -> Iterator[tuple[str, str]]:
    if split not in look.splits:
        return
    facts = seen[look.images[split]].facts
    yield from ((name, facts[name].digest) for name, _ in look.splits[split].entries if name in facts)


def _encoding(look: Look, seen: Mapping[Path, Seen]) -> Iterator[Finding]:
    facts = [fact for found in seen.values() for fact in found.facts.values() if not fact.problem]
    exported = sum(fact.exported for fact in facts)
    if exported:
        share = "all" if exported == len(facts) else f"{exported:,} of {len(facts):,}"
        why = WHY_EXPORTED if look.layout in EXPORTS else ""
        yield Finding("re-encoded", "note", f"{share} images are {EXPORTED}{why}")
