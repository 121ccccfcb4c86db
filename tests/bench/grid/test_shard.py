"""Parts of a grid: together they are the grid, apart they share nothing, and no part has all the long runs."""

import pytest

from bench.errors import WrongCall
from bench.grid.shard import shard_of
from tests.bench.tiny import runs


@pytest.mark.parametrize("parts", [1, 2, 5, 8, 40])
def test_parts_add_up_to_the_grid(parts: int) -> None:
    asked = runs("linear,lora,bitfit", tasks=2, seeds=(0, 1, 2))
    shards = [shard_of(asked, f"{which}/{parts}") for which in range(1, parts + 1)]
    assert sorted(map(asked.index, (run for shard in shards for run in shard))) == list(range(len(asked)))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    assert shards == [shard_of(asked, f"{which}/{parts}") for which in range(1, parts + 1)]


def test_long_runs_are_spread() -> None:
    asked = [*runs("linear", seeds=(0, 1)), *runs("full", seeds=(0, 1), epochs=50)]
    for which in (1, 2):
        assert sorted(str(run.method) for run in shard_of(asked, f"{which}/2")) == ["full", "linear"]


def test_without_a_shard_it_is_everything() -> None:
    assert shard_of(runs("linear,lora"), None) == runs("linear,lora")


@pytest.mark.parametrize("text", ["", "2", "0/8", "9/8", "1/0", "a/b", "-1/8", "1/2/3"])
def test_what_is_no_part_is_a_wrong_call(text: str) -> None:
    with pytest.raises(WrongCall, match="write 2/8"):
        shard_of(runs(), text)
