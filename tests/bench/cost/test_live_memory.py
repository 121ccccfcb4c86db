"""The meter: bytes by hand for small programs, on real and on meta tensors."""

import pytest
import torch
from torch.nn import functional

from bench.cost.live_memory import Meter

KIB = 1024


@pytest.fixture(params=["cpu", "meta"], autouse=True)
def tensors(request: pytest.FixtureRequest) -> object:
    with torch.device(request.param):
        yield


def kib(count: int) -> torch.Tensor:
    return torch.zeros(count * KIB // 4)


def test_the_peak_is_the_highest_sum_of_what_lives() -> None:
    with Meter() as meter:
        a = kib(2)
        b = a + 1
        del a
        c = b * 2
        del b, c
        kib(3)
    assert meter.peak().total == 4 * KIB


@pytest.mark.parametrize(("scalars", "expected"), [(0, 0), (1, 512), (128, 512), (129, 1024)])
def test_sizes_are_rounded_as_the_allocator_does(scalars: int, expected: int) -> None:
    with Meter() as meter:
        kept = torch.zeros(scalars)
    assert meter.peak().total == expected
    del kept


def test_views_and_work_in_place_cost_nothing() -> None:
    with Meter() as meter:
        a = kib(2)
        b = a.view(2, -1).T[0]
        b.add_(1)
        a.mul_(2)
    assert meter.peak().total == 2 * KIB


def test_a_view_keeps_the_whole_storage() -> None:
    with Meter() as meter:
        a = kib(2)
        b = a[:1]
        del a
        c = kib(1)
    assert meter.peak().total == 3 * KIB
    del b, c


def test_what_was_there_before_counts_once_it_is_shown() -> None:
    before = kib(1)
    meter = Meter()
    meter.add([before, before, before.view(-1)], "weights")
    with meter:
        after = before + 1
    assert meter.peak().breakdown() == {"weights": KIB, "activations": KIB}
    del after


def test_a_kind_may_be_told_late_and_counts_from_the_birth() -> None:
    with Meter() as meter:
        a, b = kib(2), kib(1)
        del b
        meter.add([a], "gradients")
    assert meter.peak().breakdown() == {"gradients": 2 * KIB, "activations": KIB}


def test_forgetting_the_past_keeps_what_lives() -> None:
    with Meter() as meter:
        a = kib(1)
        kib(8)
        meter.forget_past()
        b = kib(2)
    assert meter.peak().total == 3 * KIB
    del a, b


def test_nothing_is_counted_after_the_end() -> None:
    with Meter() as meter:
        a = kib(1)
    b = kib(8)
    assert meter.peak().total == KIB
    del a, b


def test_a_linear_layer_forwards_and_backwards() -> None:
    images, rows, columns = 4, 128, 256
    weight = torch.zeros(rows, columns, requires_grad=True)
    x = torch.zeros(images, columns)
    meter = Meter()
    meter.add([weight, x], "given")
    with meter:
        output = functional.linear(x, weight)
        output.sum().backward()
        meter.add([weight.grad], "gradients")
    given = 4 * (rows * columns + images * columns)
    activations = 4 * images * rows + 512 + 512  # the output, its sum, and the gradient of the sum
    assert meter.peak().breakdown() == {"given": given, "gradients": 4 * rows * columns, "activations": activations}
