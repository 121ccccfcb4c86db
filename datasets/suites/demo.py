"""The embedded suite: six small tasks that need no download and stay the same for ever."""

from collections.abc import Callable
from types import MappingProxyType

from datasets.base import Example, Source, Suite, Task
from datasets.demo.drawing import Pictures
from datasets.demo.natural import REGIONS, digits, photos
from datasets.demo.specialized import SHAPES, TEXTURES, cells, textures
from datasets.demo.structured import ANGLES, MOST, count, orientation

SIZES = MappingProxyType({"train": 400, "test": 1000})


def _source(drawn: Callable[[str], Pictures]) -> Source:
    def examples(split: str) -> list[Example]:
        return drawn(split).examples()

    return examples


SUITE = Suite(
    name="demo",
    title="Embedded demo: six tasks of 32 x 32 pixels",
    groups=("natural", "specialized", "structured"),
    tasks=(
        Task("digits", "natural", 10, SIZES, _source(digits)),
        Task("photos", "natural", len(REGIONS), SIZES, _source(photos)),
        Task("textures", "specialized", len(TEXTURES), SIZES, _source(textures)),
        Task("cells", "specialized", len(SHAPES), SIZES, _source(cells)),
        Task("count", "structured", MOST, SIZES, _source(count)),
        Task("orientation", "structured", ANGLES, SIZES, _source(orientation)),
    ),
    recipe="demo",
    backbone="demo",
    validation=0.25,
)
