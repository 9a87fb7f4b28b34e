"""What a tool looks like, and how what is shown leads to what is."""

import random
from types import MappingProxyType

import pytest

from toolmaster.tasksets.answers import as_answer
from toolmaster.tools import ToolRefusal
from toolmaster.types import Effect
from toolmaster.world.domain import Amount, Name, Position, ToolDef, Word
from toolmaster.world.quirks import KINDS, Quirk
from toolmaster.world.surface import Example, Surface, describe, draw_name, draw_params

OF = {kind.kind: kind for kind in KINDS}
SHOP = {"items": {"Rye Loaf": ["a", "b"], "Oat Bun": ["c"]}, "row": ["Oat Bun", "Rye Loaf"]}
PARAMS = {"item": Name(("product", "goods")), "place": Position(("rank", "goods"))}
BATCH = ToolDef(
    "batch",
    lambda state, item, place: state["items"][item][place - 1],
    Effect.READ,
    PARAMS,
    Word(),
    ("batch", "tray"),
    "Batch of a product",
)
WRITE = ToolDef(
    "set_batch",
    lambda state, item, value: state["items"].update({item: [value]}),
    Effect.WRITE,
    {"item": PARAMS["item"], "value": Amount(("value",))},
    Word(),
    ("batch",),
    "Set it",
)
SHOWN = MappingProxyType({"place": "rank", "item": "product"})


def surface(kind="plain", param="", word="", definition=BATCH, params=SHOWN):
    return Surface(definition, "getBatch", params, "doc", OF[kind](definition, param, word))


def run(a_surface, **arguments):
    return a_surface.tool().execute(SHOP, arguments)


def test_schema_shows_the_surface_names_in_their_order():
    tool = surface().tool()
    assert (tool.name, tool.description, tool.effect) == ("getBatch", "doc", Effect.READ)
    assert list(tool.parameters["properties"]) == ["rank", "product"]
    assert tool.parameters == {
        "type": "object",
        "properties": {"rank": {"type": "integer"}, "product": {"type": "string"}},
        "required": ["rank", "product"],
        "additionalProperties": False,
    }


def test_schema_leaves_room_for_what_is_hidden():
    hidden = surface("hidden_parameter", word="mode").tool().parameters
    assert hidden["required"] == ["rank", "product"]
    assert "additionalProperties" not in hidden
    renamed = surface("renamed_parameter", "item", "entry").tool().parameters
    assert "required" not in renamed
    assert "additionalProperties" not in renamed


def test_dress_and_call():
    arguments = surface().dress({"item": "Rye Loaf", "place": 2, "mode": "full"})
    assert arguments == {"product": "Rye Loaf", "rank": 2, "mode": "full"}
    assert run(surface(), product="Rye Loaf", rank=2) == "b"


def test_refusals():
    with pytest.raises(ToolRefusal, match=r'^unknown "Rye"$'):
        run(surface(), product="Rye", rank=1)
    for rank in (0, -1, 3):
        with pytest.raises(ToolRefusal, match=r"^nothing at this position$"):
            run(surface(), product="Rye Loaf", rank=rank)


@pytest.mark.parametrize(("kind", "first"), [("zero_based", 0), ("two_based", 2)])
def test_a_shifted_tool_has_nothing_before_its_first_position(kind, first):
    a_surface = surface(kind, "place")
    assert run(a_surface, product="Rye Loaf", rank=first) == "a"
    with pytest.raises(ToolRefusal, match="nothing at this position"):
        run(a_surface, product="Rye Loaf", rank=first - 1)


def test_a_tool_may_take_both_a_name_and_a_position():
    assert run(surface("capitals", "item", "Rye Loaf"), product="RYE LOAF", rank=2) == "b"
    renamed = surface("renamed_parameter", "item", "entry")
    assert run(renamed, entry="Rye Loaf", rank=1) == "a"
    hidden = surface("hidden_parameter", word="mode")
    assert run(hidden, product="Rye Loaf", rank=1, mode="full") == "a"


def test_a_write_answers_done():
    state = {"items": {"Rye Loaf": []}}
    a_surface = surface(definition=WRITE, params={"item": "product", "value": "value"})
    got = a_surface.tool().execute(state, {"product": "Rye Loaf", "value": 3})
    assert (got, state) == ("done", {"items": {"Rye Loaf": [3]}})


def test_draw_name_is_new_each_time():
    taken = set()
    drawn = [draw_name(random.Random(1), BATCH, "seen", taken)]
    rng = random.Random(1)
    drawn += [draw_name(rng, BATCH, "seen", taken) for _ in range(100)]
    assert len(taken) == len(set(drawn)) == len(drawn)
    assert any("-" in name for name in drawn)
    assert any("_" in name for name in drawn)
    real = [name for name in drawn if "batch" in name.lower() or "tray" in name.lower()]
    assert 30 < len(real) < 70  # the others are built on invented nouns


def test_unseen_names_are_never_invented():
    drawn = [draw_name(random.Random(seed), BATCH, "unseen", set()) for seed in range(50)]
    assert all("batch" in name.lower() or "tray" in name.lower() for name in drawn)


def test_draw_params_are_distinct_and_vary_in_order():
    drawn = [draw_params(random.Random(seed), BATCH, "unseen") for seed in range(50)]
    for params in drawn:
        assert set(params) == {"item", "place"}
        assert len(set(params.values())) == 2
        assert all(shown in PARAMS[key].names for key, shown in params.items())
    assert {next(iter(params)) for params in drawn} == {"item", "place"}


def test_half_of_the_seen_params_are_invented():
    drawn = [draw_params(random.Random(seed), BATCH, "seen") for seed in range(200)]
    shown = [name in PARAMS[key].names for params in drawn for key, name in params.items()]
    assert 0.4 < sum(shown) / len(shown) < 0.6


@pytest.mark.parametrize(
    ("style", "with_example", "without"),
    [
        ("complete", "Batch of a product. Example: Rye Loaf, 2 -> 4.5", "Batch of a product."),
        ("terse", "batch; Rye Loaf, 2 -> 4.5", "batch"),
        ("missing", "", ""),
    ],
)
def test_describe(style, with_example, without):
    example = Example({"item": "Rye Loaf", "place": 2}, 4.5)
    assert describe(style, BATCH, example, as_answer) == with_example
    assert describe(style, BATCH, None, as_answer) == without


def test_quirk_default_is_plain():
    assert Quirk(BATCH).kind == "plain"
