"""Every quirk, worked by hand on a tiny shop, and that `send` and `accept` undo what it does."""

import copy
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolmaster.errors import DomainError
from toolmaster.tools import ToolRefusal
from toolmaster.types import Effect
from toolmaster.world.domain import Amount, Name, Position, ToolDef, Word, number, whole
from toolmaster.world.quirks import FAMILIES, KINDS, Quirk
from toolmaster.world.quirks.loud import HiddenParameter

ITEM = Name(("item",))
SHOP = {"items": {"Rye Loaf": 4.5, "Oat Bun": 20}, "row": ["Oat Bun", "Rye Loaf", "Fig Pie"]}
OF = {kind.kind: kind for kind in KINDS}


def get_price(state, item):
    return state["items"][item]


def put_price(state, item, value):
    state["items"][item] = value


def get_place(state, place):
    return state["row"][place - 1]


PRICE = ToolDef("price", get_price, Effect.READ, {"item": ITEM}, Amount(), ("price",), "Price")
PLACE = ToolDef(
    "place", get_place, Effect.READ, {"place": Position(("place",))}, Name(), ("row",), "Row"
)
SET = ToolDef(
    "set_price",
    put_price,
    Effect.WRITE,
    {"item": ITEM, "value": Amount(("value",))},
    Word(),
    ("price",),
    "Set",
    "price",
    "value",
)


def quirk(kind, tool=PRICE, word=""):
    return OF[kind](tool, OF[kind].target(tool) or "", word, PRICE if tool is SET else None)


def stored(a_quirk, value, state=SHOP):
    state = copy.deepcopy(state)
    a_quirk.run(state, {"item": "Rye Loaf", "value": value})
    return state["items"]["Rye Loaf"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(4.0, 4), (0.1 + 0.2, 0.3), (450.00000000000006, 450), (2.5, 2.5), (3, 3)],
)
def test_number(value, expected):
    got = number(value)
    assert (got, type(got)) == (expected, type(expected))


def test_whole_makes_decimals_whole_numbers_and_leaves_the_rest():
    state = {"Rye Loaf": {"price": 4.5, "stock": 7, "counter": "till"}, "row": ["a", 2.0, 0.29]}
    got = [whole(state, random.Random(seed)) for seed in range(40)]
    once = {"Rye Loaf": {"price": 450, "stock": 7, "counter": "till"}, "row": ["a", 200, 29]}
    assert once in got
    assert all(isinstance(value, int) for each in got for value in each["row"][1:])
    ends = [each["row"][2] for each in got]
    assert {29, 20} == set(ends)
    assert 4 <= ends.count(20) <= 20  # three in ten are tens
    assert {each["Rye Loaf"]["stock"] for each in got} == {7}


def test_every_kind_belongs_to_a_family():
    assert {kind.family for kind in KINDS} == set(FAMILIES)
    assert len(OF) == len(KINDS) == 41


def test_plain():
    plain = quirk("plain")
    assert plain.run(SHOP, plain.send({"item": "Rye Loaf"})) == plain.accept(4.5) == 4.5
    assert plain.lesson("get", "") == "get: as documented"


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("capitals", "RYE LOAF"),
        ("lower_case", "rye loaf"),
        ("underscores", "Rye_Loaf"),
        ("dots", "rye.loaf"),
        ("joined", "RyeLoaf"),
        ("bracketed", "[Rye Loaf]"),
        ("hyphens", "rye-loaf"),
        ("prefixed", "#Rye Loaf"),
    ],
)
def test_formats(kind, form):
    a_quirk = quirk(kind, word="Rye Loaf")
    assert a_quirk.param == "item"
    with pytest.raises(ToolRefusal) as caught:
        a_quirk.run(SHOP, {"item": "Rye Loaf"})
    assert str(caught.value) == f'unknown "Rye Loaf"; write it like "{form}"'
    assert a_quirk.send({"item": "Rye Loaf"}) == {"item": form}
    assert a_quirk.run(SHOP, {"item": form}) == 4.5
    with pytest.raises(ToolRefusal) as caught:  # in the form of another tool
        a_quirk.run(SHOP, {"item": "@rye:LOAF"})
    assert str(caught.value) == f'unknown "@rye:LOAF"; write it like "{form}"'
    with pytest.raises(ToolRefusal, match=f'"Ryee Laf"; write it like "{re.escape(form)}"$'):
        a_quirk.run(SHOP, {"item": "Ryee Laf"})
    assert a_quirk.lesson("get", "") == f'get: write it like "{form}"'
    with pytest.raises(ToolRefusal, match=r'^unknown "Fig Pie"$'):  # the shop sells none
        a_quirk.run(SHOP, {"item": "Fig Pie"})


@pytest.mark.parametrize("word", HiddenParameter.choices)
def test_hidden_parameter(word):
    a_quirk, value = quirk("hidden_parameter", word=word), HiddenParameter.values[word]
    for wrong in ({}, {word: "?"}):
        with pytest.raises(ToolRefusal) as caught:
            a_quirk.run(SHOP, {"item": "Rye Loaf", **wrong})
        assert str(caught.value) == f'"{word}" is required; pass "{word}": "{value}"'
    sent = a_quirk.send({"item": "Rye Loaf"})
    assert sent == {"item": "Rye Loaf", word: value}
    assert a_quirk.run(SHOP, sent) == 4.5
    assert sent == {"item": "Rye Loaf", word: value}  # run leaves what it was given alone


def test_renamed_parameter():
    a_quirk = quirk("renamed_parameter", word="entry")
    for naive in ({"item": "Rye Loaf"}, {}, {"item": "Rye Loaf", "entry": "Rye Loaf"}):
        with pytest.raises(ToolRefusal, match='this parameter has a new name; pass it as "entry"'):
            a_quirk.run(SHOP, naive)
    assert a_quirk.send({"item": "Rye Loaf"}) == {"entry": "Rye Loaf"}
    assert a_quirk.run(SHOP, {"entry": "Rye Loaf"}) == 4.5


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("tenths_result", 45),
        ("hundredths_result", 450),
        ("thousandths_result", 4500),
        ("ten_thousandths_result", 45000),
    ],
)
def test_scaled_results(kind, raw):
    a_quirk = quirk(kind)
    got = a_quirk.run(SHOP, {"item": "Rye Loaf"})
    assert (got, type(got)) == (raw, int)
    assert a_quirk.accept(raw) == 4.5
    assert a_quirk.lesson("get", "") == f"get: divide the result by {raw // 4.5:g}"


@pytest.mark.parametrize(
    ("kind", "raw"),
    [("tens_result", 0.45), ("hundreds_result", 0.045), ("ten_thousands_result", 0.00045)],
)
def test_results_in_a_larger_unit(kind, raw):
    a_quirk = quirk(kind)
    assert a_quirk.run(SHOP, {"item": "Rye Loaf"}) == raw
    assert a_quirk.accept(raw) == 4.5
    assert a_quirk.lesson("get", "") == f"get: multiply the result by {4.5 / raw:.0f}"


@pytest.mark.parametrize(
    ("kind", "form", "shown"),
    [("sign_before", "@Rye Loaf", "@Name"), ("sign_after", "Rye Loaf@", "Name@")],
)
def test_signs(kind, form, shown):
    a_quirk = quirk(kind, word="@")
    with pytest.raises(ToolRefusal, match=f'write it like "{re.escape(form)}"'):
        a_quirk.run(SHOP, {"item": "Rye Loaf"})
    assert a_quirk.send({"item": "Rye Loaf"}) == {"item": form}
    assert a_quirk.run(SHOP, {"item": form}) == 4.5
    assert a_quirk.lesson("get", "") == f'get: write it like "{shown}"'


@pytest.mark.parametrize(
    ("kind", "sent", "naive", "lesson"),
    [
        ("zero_based", 1, "Fig Pie", "row: counts from 0, pass one less"),
        ("two_based", 3, "Oat Bun", "row: counts from 2, pass one more"),
    ],
)
def test_positions(kind, sent, naive, lesson):
    a_quirk = quirk(kind, PLACE)
    assert a_quirk.param == "place"
    assert a_quirk.run(SHOP, {"place": 2}) == naive
    assert a_quirk.send({"place": 2}) == {"place": sent}
    assert a_quirk.run(SHOP, {"place": sent}) == "Rye Loaf"
    assert a_quirk.lesson("row", "") == lesson


def test_stale_is_always_wrong_and_always_the_same():
    a_quirk = quirk("stale")
    got = [a_quirk.run(SHOP, {"item": item}) for item in ("Rye Loaf", "Oat Bun", "Rye Loaf")]
    assert got[0] == got[2]
    assert all(2 <= wrong - true <= 31 for wrong, true in zip(got, (4.5, 20, 4.5), strict=True))
    assert a_quirk.twin
    assert a_quirk.lesson("get", "show") == "get: is out of date; use `show`"


def test_coarse():
    a_quirk = quirk("coarse")
    assert [a_quirk.run(SHOP, {"item": item}) for item in ("Rye Loaf", "Oat Bun")] == [10, 30]
    assert a_quirk.lesson("get", "show") == "get: is rounded; use `show`"


def test_estimate():
    a_quirk = quirk("estimate")
    assert [a_quirk.run(SHOP, {"item": item}) for item in ("Rye Loaf", "Oat Bun")] == [3, 13]
    assert a_quirk.lesson("get", "show") == "get: is too low; use `show`"


def test_inflated():
    a_quirk = quirk("inflated")
    assert [a_quirk.run(SHOP, {"item": item}) for item in ("Rye Loaf", "Oat Bun")] == [6.75, 30]
    assert a_quirk.lesson("get", "show") == "get: is too high; use `show`"


def test_fixed_is_always_the_same_and_always_wrong():
    a_quirk = quirk("fixed")
    shop = {"items": {"Rye Loaf": 4.5, "Oat Bun": 20, "Fig Pie": 100}}
    assert [a_quirk.run(shop, {"item": item}) for item in shop["items"]] == [100, 100, 50]
    assert a_quirk.lesson("get", "show") == "get: is always the same; use `show`"


@pytest.mark.parametrize(
    ("kind", "value", "left", "lesson"),
    [
        ("adds", 3, 7.5, "set: adds; use `put`"),
        ("halves", 3, 1.5, "set: halves; use `put`"),
        ("keeps", 3, 4.5, "set: changes nothing; use `put`"),
        ("doubles", 3, 6, "set: doubles; use `put`"),
        ("empties", 3, 0, "set: empties; use `put`"),
        ("rounds_up", 23, 30, "set: rounds; use `put`"),
        ("rounds_up", 20, 30, "set: rounds; use `put`"),
        ("tenths_value", 4.5, 0.45, "set: multiply the value by 10"),
        ("thousandths_value", 4500, 4.5, "set: multiply the value by 1000"),
        ("ten_thousandths_value", 45000, 4.5, "set: multiply the value by 10000"),
        ("hundredths_value", 450, 4.5, "set: multiply the value by 100"),
        ("tens_value", 0.45, 4.5, "set: divide the value by 10"),
        ("hundreds_value", 4.5, 450, "set: divide the value by 100"),
        ("ten_thousands_value", 0.0046, 46, "set: divide the value by 10000"),
    ],
)
def test_irreversible(kind, value, left, lesson):
    a_quirk = quirk(kind, SET)
    assert a_quirk.param == "value"
    assert stored(a_quirk, value) == left
    assert a_quirk.lesson("set", "put") == lesson


def test_adds_needs_a_reader():
    with pytest.raises(DomainError, match="set_price: adds needs a tool that reads the value"):
        OF["adds"](SET, "value").run(copy.deepcopy(SHOP), {"item": "Rye Loaf", "value": 1})


@pytest.mark.parametrize(
    ("tool", "fits"),
    [
        (PRICE, "plain capitals lower_case underscores dots joined sign_before sign_after bracketed"
                " hyphens prefixed hidden_parameter renamed_parameter"
                " tenths_result hundredths_result thousandths_result"
                    " ten_thousandths_result hundred_thousandths_result"
                    " tens_result hundreds_result ten_thousands_result stale estimate inflated"
                    " fixed coarse"),
        (PLACE, "plain hidden_parameter zero_based two_based"),
        (SET, "plain capitals lower_case underscores dots joined sign_before sign_after bracketed"
              " hyphens prefixed hidden_parameter renamed_parameter"
              " adds halves keeps doubles empties rounds_up tenths_value thousandths_value"
              " ten_thousandths_value hundredths_value tens_value hundreds_value"
              " ten_thousands_value"),
    ],
)  # fmt: skip
def test_targets(tool, fits):
    assert {kind.kind for kind in KINDS if kind.target(tool) is not None} == set(fits.split())


@pytest.mark.parametrize("kind", [k for k in KINDS if not k.twin])
@settings(deadline=None)
@given(
    cents=st.integers(1, 10**6),
    place=st.integers(1, 3),
    item=st.sampled_from(["Rye Loaf", "Oat Bun"]),
)
def test_one_who_knows_gets_what_the_plain_tool_gives(kind, cents, place, item):
    calls = [
        (PRICE, {"item": item}),
        (PLACE, {"place": place}),
        (SET, {"item": item, "value": cents / 100}),
    ]
    for tool, arguments in calls:
        if kind.target(tool) is None:
            continue
        word = kind.choices[cents % len(kind.choices)] if kind.choices else item
        a_quirk = kind(tool, kind.target(tool), word, PRICE)
        state, plain = copy.deepcopy(SHOP), copy.deepcopy(SHOP)
        state["items"][item] = plain["items"][item] = (cents + 100) / 100
        got = a_quirk.run(state, a_quirk.send(arguments))
        truth = Quirk(tool).run(plain, arguments)
        assert (a_quirk.accept(got) if truth is not None else None) == truth
        assert state == plain
        assert arguments == calls[[PRICE, PLACE, SET].index(tool)][1]


@pytest.mark.parametrize("kind", [k for k in KINDS if k.family == "loud"])
@pytest.mark.parametrize("item", ["Rye Loaf", "Oat Bun"])
def test_the_loud_refuse_a_naive_call_and_say_what_satisfies(kind, item):
    for word in kind.choices or [item]:
        a_quirk = kind(PRICE, kind.target(PRICE), word)
        naive = {"item": item}
        with pytest.raises(ToolRefusal) as caught:
            a_quirk.run(SHOP, naive)
        sent = a_quirk.send(naive)
        changed = {*sent, *sent.values()} - {*naive, *naive.values()}
        assert changed
        hint = str(caught.value).split("; ")[-1]
        assert all(part in hint for part in changed)
        example = kind.kind.startswith("sign_")  # its word is the sign: the lesson has its own name
        if not example:
            assert a_quirk.lesson("get", "") == f"get: {hint}"
        assert a_quirk.run(SHOP, sent) == SHOP["items"][item]
