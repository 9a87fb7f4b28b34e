import collections
import contextlib
import random
from dataclasses import replace

import pytest

from toolmaster.errors import ConfigError, InputError
from toolmaster.tools import ToolRefusal
from toolmaster.types import Effect
from toolmaster.world.behaviours import FAMILIES, is_held_out
from toolmaster.world.goals import ABOUT, draw_arguments
from toolmaster.world.openapi import Documents
from toolmaster.world.service import copied
from toolmaster.world.spec import SPECS, load_spec
from toolmaster.world.tasks import World, _matters, _same, _same_end, answer_text

COUNT = 80


@pytest.fixture(scope="module")
def drawn(worlds):
    return {
        (name, split): [world.draw(world.id_of(split, i)) for i in range(COUNT)]
        for name, world in worlds.items()
        for split in ("train", "test")
    }


def test_a_task_follows_from_its_id(worlds):
    for world in worlds.values():
        one, two = (world.draw(world.id_of("train", 5)) for _ in range(2))
        assert one.task.query == two.task.query
        assert [view.name for view in one.views] == [view.name for view in two.views]
        assert one.start == two.start


def test_every_kind_and_family_is_drawn(drawn):
    labels = [one.task.labels for tasks in drawn.values() for one in tasks]
    assert {one["kind"] for one in labels} == set(ABOUT.values())
    assert {one["family"] for one in labels} == set(FAMILIES)
    counts = collections.Counter(one["family"] for one in labels)
    assert 0.3 < counts["plain"] / len(labels) < 0.6
    assert counts["silent"] + counts["irreversible"] > 0.2 * len(labels)


def test_splits_share_no_service_and_training_shows_nothing_held_out(drawn):
    services = {
        split: {t.task.labels["service"] for t in drawn["full", split]}
        for split in ("train", "test")
    }
    assert not services["train"] & services["test"]
    for (_, split), tasks in drawn.items():
        hidden = [view.behaviour for one in tasks for view in one.views if view.behaviour]
        if split == "train":
            assert not any(map(is_held_out, hidden))


def test_what_is_hidden_matters_and_can_be_found_out(drawn):
    for tasks in drawn.values():
        for one in tasks:
            hiding = [view for view in one.views if view.behaviour]
            assert len(hiding) == (one.task.labels["family"] != "plain")
            if one.task.labels["family"] == "silent":
                assert hiding[0].example is not None
            if one.task.labels["family"] == "irreversible":
                assert hiding[0].operation.effect is not Effect.READ


def test_names_of_tools_differ_and_schemas_validate_what_is_sent(drawn):
    for tasks in drawn.values():
        for one in tasks:
            tools = one.task.make_tools()
            for call in one.goal.calls:
                view = one.chosen[call.operation.key][0]
                sent = view.send(call.arguments)
                assert tools[view.name].violation(sent) is None


def test_tasks_without_a_tool_have_none(drawn):
    found = [t for tasks in drawn.values() for t in tasks if t.goal.kind == "none"]
    assert found
    for one in found:
        asked = one.task.labels["service"]
        assert one.goal.calls == []
        if asked in ("hotel", "store"):
            assert all("booking" not in v.operation.key or asked != "hotel" for v in one.views)


def test_no_tool_has_a_reserved_look(drawn):
    names = [view.name for tasks in drawn.values() for t in tasks for view in t.views]
    assert all(name and " " not in name for name in names)


def test_a_world_draws_ids_of_both_levels(worlds):
    for task_id in ("v6s/train/3", "v6/train/3"):
        one, two = (worlds[name].draw(task_id) for name in ("short", "full"))
        assert one.task.query == two.task.query


def test_the_level_calls_has_calls_of_more_arguments_in_one_message():
    def counts(level):
        world = World(level=level)
        goals = [world.draw(world.id_of("train", n)).goal for n in range(60)]
        assert level == "full" or all(len(goal.turns) == 1 for goal in goals)
        return [len(call.arguments) for goal in goals for call in goal.calls]

    calls, full = counts("calls"), counts("full")
    assert sum(calls) / len(calls) > 1.3 * sum(full) / len(full)
    assert max(map(calls.count, (0, 1))) < len(calls) / 2


def test_every_tool_that_is_shown_can_be_called(drawn):
    rng = random.Random(1)
    for tasks in drawn.values():
        for one in tasks[:40]:
            for view in one.views:
                arguments = draw_arguments(view.operation, one.start, rng)
                with contextlib.suppress(ToolRefusal):
                    view.tool().execute(copied(one.start), view.send(arguments))


@pytest.mark.parametrize(
    "task_id",
    [
        "v5/train/1",
        "v6/train",
        "v6/train/x",
        "v6/nowhere/3",
        "v6s.facts/train/3",
        "",
        "v6/train/00",
        "v6/train/²",
        "v6/train/٣",
        "v6/train/100000000",
        f"v6/train/{'1' * 5000}",
        "v6/train/1/0",
        "v6/train/1/٣",
    ],
)
def test_an_id_of_another_version_is_refused(worlds, task_id):
    with pytest.raises(InputError, match="task id"):
        worlds["full"].draw(task_id)


def test_families_can_be_chosen():
    world = World(families=("silent",))
    tasks = [world.draw(world.id_of("train", i)) for i in range(10)]
    assert {t.task.labels["family"] for t in tasks} == {"silent"}
    assert tasks[0].task.id == "v6.silent/train/0"
    with pytest.raises(ConfigError, match="allowed: plain, loud"):
        World(families=("quiet",))


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("B-1, A-2 and C-3", ["A-2", "B-1", "C-3"]),
        ("the horn, not the tray, my pond", ["my pond", "the horn, not the tray"]),
        ("Chess and Iron and 1,200", [1200, "Chess and Iron"]),
        ("5, and a", ["a", 5]),
        ("bells and rice, 5", ["Bells And Rice", 5]),
    ],
)
def test_several_answers_may_come_in_any_order(given, right):
    assert _same(given, right)
    assert _same(answer_text(right), right)
    assert not _same(given, [*right, "x"])
    assert not _same(f"{given}, x", right)


def test_two_writes_may_come_in_any_order():
    operation = load_spec(SPECS / "hotel.toml").operations["create_booking"]
    fields = {"guest": "Ada", "arrival": "2024-05-03", "room_type": "single", "status": "left"}
    states = [{"records": {}, "log": []} for _ in range(3)]
    for state, nights in zip(states, [(2, 3), (3, 2), (2, 2)], strict=True):
        for one in nights:
            operation.run(state, {**fields, "nights": one})
    assert _same_end(states[0], states[1])
    assert not _same_end(states[0], states[2])


def test_a_receipt_hides_what_changes_nothing(drawn):
    found = [
        (view, one.goal.calls_of(view.operation.key), one.start)
        for tasks in drawn.values()
        for one in tasks
        for view in one.views
        if view.receipt is not None
    ]
    known = [(view, calls, start) for view, calls, start in found if calls]
    assert known
    for view, calls, start in known:
        assert not _matters(replace(view, behaviour=None), calls[:1], start)


def test_no_other_tool_does_what_is_asked_for(worlds, pets):
    for world in (*worlds.values(), World(Documents(pets), "full", "pets")):
        for number in range(60):
            one = world.draw(world.id_of("train", number))
            wanted = [call.operation for call in one.goal.calls]
            wanted += [turn.wanted.operation for turn in one.goal.turns if turn.wanted]
            shown = {view.name for views in one.chosen.values() for view in views}
            others = [view.operation for view in one.views if view.name not in shown]
            assert one.views
            assert not {o.key for o in others} & {o.key for o in wanted}
            assert not {o.doc for o in others} & {o.doc for o in wanted}


def test_start_states_are_not_shared(worlds):
    one = worlds["short"].draw(worlds["short"].id_of("train", 3))
    tools = one.task.make_tools()
    tools.state["log"].append("x")
    assert one.task.make_tools().state == one.start
    assert random.Random(1).random() == random.Random(1).random()
