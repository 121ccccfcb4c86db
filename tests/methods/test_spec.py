"""Specs: what is written is read back, sweeps expand in place, and a wrong word gets a sentence that helps."""

import dataclasses
import math
import re
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods import METHODS, Method
from methods.spec import closest, parse, parse_list


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Everything that an annotation of a setting allows."""
    if get_origin(hint) in (Union, UnionType):
        return st.one_of(*map(values_of, get_args(hint)))
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is Annotated:
        kind, bounds = get_args(hint)
        low, high = bounds.low, bounds.high
        if kind is int:
            return st.integers(low, high)
        return st.floats(low, high, allow_nan=False, allow_infinity=False) | st.integers(
            None if low is None else math.ceil(low), None if high is None else math.floor(high)
        )
    return {NoneType: st.none(), bool: st.booleans(), str: st.text()}[hint]


def methods_of(kind: type[Method]) -> st.SearchStrategy[Method]:
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{setting.name: values_of(hints[setting.name]) for setting in dataclasses.fields(kind)})


any_method = st.one_of(*map(methods_of, METHODS.values()))


@given(any_method)
def test_a_method_is_read_back_from_its_spec(method: Method) -> None:
    assert parse(str(method)) == [method]


@given(st.lists(any_method, min_size=1, unique=True))
def test_a_list_is_read_back_in_order(methods: list[Method]) -> None:
    assert parse_list(", ".join(map(str, methods))) == methods


@given(any_method, any_method)
def test_equal_methods_have_equal_specs_and_no_others(one: Method, other: Method) -> None:
    assert (str(one) == str(other)) == (one == other)


def test_only_what_differs_from_the_defaults_is_written() -> None:
    assert str(parse("lora:rank=8:layer=3:dropout=0.1")[0]) == "lora:layer=3"


def test_settings_may_come_in_any_order() -> None:
    assert parse("lora:layer=3:rank=4") == parse("lora:rank=4:layer=3")


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("lora:layer=1..3", ["lora:layer=1", "lora:layer=2", "lora:layer=3"]),
        ("lora:layer=2..2", ["lora:layer=2"]),
        ("vpt_deep:tokens=1/10/50", ["vpt_deep:tokens=1", "vpt_deep", "vpt_deep:tokens=50"]),
        ("lora:layer=none/1", ["lora", "lora:layer=1"]),
        ("lora:rank=4/8:target=qkv/qv", ["lora:rank=4", "lora:rank=4:target=qv", "lora", "lora:target=qv"]),
        ("linear, lora:rank=8,linear", ["linear", "lora"]),
        ("all", list(METHODS)),
        ("all,lora:rank=4", [*METHODS, "lora:rank=4"]),
        ("lora:scale=2,lora:scale=2.0", ["lora:scale=2.0"]),
    ],
)
def test_sweeps_expand_in_place(text: str, specs: list[str]) -> None:
    assert [str(method) for method in parse_list(text)] == specs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lorra", "no method 'lorra'; did you mean 'lora'? known: "),
        ("quantum", "no method 'quantum'; known: "),
        ("LoRA", "no method 'LoRA'; "),
        ("lora:rnk=4", "lora: no setting 'rnk'; did you mean 'rank'? known: dropout, layer, rank, "),
        ("linear:rank=4", "linear: no setting 'rank'; known: none"),
        ("lora:rank", "lora: 'rank' is not of the form setting=value; did you mean 'rank'?"),
        ("lora:", "lora: '' is not of the form setting=value; known: "),
        ("lora:rank=0", "lora: rank='0' is not a whole number of at least 1"),
        ("lora:rank=", "lora: rank='' is not a whole number of at least 1"),
        ("lora:rank=4.5", "lora: rank='4.5' is not a whole number of at least 1"),
        ("lora:rank=true", "lora: rank='true' is not a whole number of at least 1"),
        ("lora:rank=none", "lora: rank='none' is not a whole number of at least 1"),
        ("lora:layer=0", "lora: layer='0' is not a whole number of at least 1 or none"),
        ("lora:layer=-1..1", "lora: layer='-1' is not a whole number of at least 1 or none"),
        ("lora:target=kv", "lora: target='kv' is not one of qkv, qv"),
        ("lora:dropout=1.5", "lora: dropout='1.5' is not a number from 0 to 1"),
        ("lora:scale=nan", "lora: scale='nan' is not a number"),
        ("lora:scale=inf", "lora: scale='inf' is not a number"),
        ("lora:scale=1" + 400 * "0", "lora: scale='1000"),
        ("vpt_deep:tokens=-1", "vpt_deep: tokens='-1' is not a whole number of at least 1"),
        ("vpt_deep:tokens=10/x", "vpt_deep: tokens='x' is not a whole number of at least 1"),
        ("lora:layer=3..1", "lora: layer='3..1' is not a rising range of at most 1000 values"),
        ("lora:layer=1..999999", "lora: layer='1..999999' is not a rising range of at most 1000 values"),
        ("lora:rank=4:rank=8", "'lora:rank=4:rank=8' gives rank twice"),
        ("", "no method given; write --methods all"),
        (" , ", "no method given; write --methods all"),
    ],
)
def test_a_wrong_word_gets_one_sentence(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}") as caught:
        parse_list(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30) | st.from_regex(r"(lora|vpt_deep):[a-z]{1,6}=[-.0-9a-z/]{0,8}", fullmatch=True))
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    methods, message = [], ""
    try:
        methods = parse_list(text)
    except ValueError as error:
        message = str(error)
    assert bool(methods) != bool(message)
    assert "\n" not in message
    assert not methods or parse_list(",".join(map(str, methods))) == methods


@pytest.mark.parametrize("values", [{"rank": "8"}, {"rank": True}, {"rank": 8.0}, {"layer": 0}, {"target": None}])
def test_settings_are_checked_from_python_too(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"lora: {next(iter(values))}="):
        METHODS["lora"](**values)


def test_a_name_belongs_to_one_method() -> None:
    with pytest.raises(TypeError, match=r"two methods are called 'lora': methods.lora and"):
        type("Other", (Method,), {}, name="lora")


def test_the_closest_name_is_shown_first() -> None:
    assert closest("dgits", ["cells", "digits"]) == "did you mean 'digits'? known: cells, digits"
    assert closest("x", []) == "known: none"
