"""Series: the same tools asked again, and tools that change their behaviour silently."""

import pytest
from turns import verdict

from toolmaster.errors import InputError
from toolmaster.tasksets.answers import as_answer
from toolmaster.world import World
from toolmaster.world.quirks import FAMILIES

WORLD = World()
SHORT = World(level="short")
BASES = [i for w in (WORLD, SHORT) for s in ("seen", "unseen") for i in w.ids(s, 24, FAMILIES)]
CHANGING = [i for i in SHORT.ids("unseen", 40, FAMILIES) if "/plain/" not in i]


def calls(drawn):
    return [(call.tool, call.arguments) for call in drawn.plan.calls]


@pytest.mark.parametrize("base", BASES)
def test_the_tasks_of_a_series_share_everything_but_what_is_asked(base):
    first = WORLD.draw(base)
    for place in (2, 3, 11):
        drawn = WORLD.draw(f"{base}/{place}")
        assert drawn.task.id == f"{base}/{place}"
        assert drawn.task.make_tools().schemas() == first.task.make_tools().schemas()
        assert drawn.task.make_tools().state == first.task.make_tools().state
        assert [s.quirk for s in drawn.surfaces] == [s.quirk for s in first.surfaces]
        assert drawn.task.labels == first.task.labels
        assert [tool for tool, _ in calls(drawn)] == [tool for tool, _ in calls(first)]
        assert calls(drawn) != calls(first)
        assert WORLD.draw(f"{base}/{place}").task.query == drawn.task.query


def test_the_first_of_a_series_is_the_task_itself():
    for base in BASES[:8]:
        first, alias = WORLD.draw(base), WORLD.draw(f"{base}/1")
        assert (alias.task.query, alias.plan.answer) == (first.task.query, first.plan.answer)
        assert alias.task.id == f"{base}/1"


def test_examples_are_not_asked_where_that_can_be_avoided():
    asked = 0
    for base in SHORT.ids("unseen", 60, ["silent"]):
        drawn = SHORT.draw(f"{base}/4")
        examples = [(s.definition.key, s.example.arguments) for s in drawn.surfaces if s.example]
        asked += any(call in examples for call in calls(drawn))
    assert asked == 0


@pytest.mark.parametrize("base", CHANGING)
def test_a_silent_change_shows_nowhere_but_in_behaviour(base):
    before, after = SHORT.draw(f"{base}/3"), SHORT.draw(f"{base}/3c")
    assert after.task.make_tools().schemas() == before.task.make_tools().schemas()
    assert after.task.make_tools().state == before.task.make_tools().state
    assert (after.task.query, after.plan.answer) == (before.task.query, before.plan.answer)
    pairs = zip(before.surfaces, after.surfaces, strict=True)
    changed = [(old.quirk, new.quirk) for old, new in pairs if old.quirk != new.quirk]
    assert len(changed) == 1
    assert changed[0][0].family == changed[0][1].family
    assert after.task.labels["quirk"] == changed[0][1].kind != before.task.labels["quirk"]
    assert SHORT.draw(f"{base}/7c").task.labels["quirk"] == after.task.labels["quirk"]


def test_a_changed_scale_gives_other_numbers_for_the_same_call():
    base = "v5s/unseen/harbor/silent/3"
    drawn = [SHORT.draw(f"{base}/2"), SHORT.draw(f"{base}/2c")]
    assert drawn[0].task.labels["quirk"] == "thousandths_result"
    results = []
    for each in drawn:
        [call] = each.plan.calls
        [surface] = each.chosen[call.tool]
        tools = each.task.make_tools()
        results.append(tools[surface.name].execute(tools.state, surface.dress(call.arguments)))
        assert surface.quirk.accept(results[-1]) == each.plan.answer
    assert results[0] != results[1]
    assert verdict(
        drawn[1].task, as_answer(drawn[1].plan.answer), drawn[1].task.make_tools()
    ).success


@pytest.mark.parametrize(
    ("task_id", "message"),
    [
        ("v5/seen/bakery/plain/1/2c", "none of the tools hides anything"),
        ("v5/seen/nowhere/silent/1/2", "no such domain"),
    ],
)
def test_what_cannot_be_drawn(task_id, message):
    with pytest.raises(InputError, match=message):
        WORLD.draw(task_id)


def test_a_kind_that_shows_in_the_schema_cannot_change_silently():
    ids = (i for i in WORLD.ids("seen", 400, ["loud"]))
    base = next(i for i in ids if WORLD.draw(i).task.labels["quirk"] == "renamed_parameter")
    with pytest.raises(InputError, match="'renamed_parameter' cannot change silently"):
        WORLD.draw(f"{base}/2c")
