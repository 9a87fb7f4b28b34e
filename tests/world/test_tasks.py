import collections
import contextlib
import random

import pytest

from toolmaster.errors import ConfigError, InputError
from toolmaster.tools import ToolRefusal
from toolmaster.types import Effect
from toolmaster.world.behaviours import FAMILIES, is_held_out
from toolmaster.world.goals import ABOUT, draw_arguments
from toolmaster.world.service import copied
from toolmaster.world.tasks import World, _same, answer_text

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


def test_every_tool_that_is_shown_can_be_called(drawn):
    rng = random.Random(1)
    for tasks in drawn.values():
        for one in tasks[:40]:
            for view in one.views:
                arguments = draw_arguments(view.operation, one.start, rng)
                with contextlib.suppress(ToolRefusal):
                    view.tool().execute(copied(one.start), view.send(arguments))


@pytest.mark.parametrize(
    "task_id", ["v5/train/1", "v6/train", "v6/train/x", "v6/nowhere/3", "v6s.facts/train/3", ""]
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


def test_several_answers_may_come_in_any_order():
    assert _same("B-1, A-2 and C-3", ["A-2", "B-1", "C-3"])
    assert not _same("A-2, B-1", ["A-2", "B-1", "C-3"])
    assert answer_text(["a", 5]) == "a, 5"


def test_start_states_are_not_shared(worlds):
    one = worlds["short"].draw(worlds["short"].id_of("train", 3))
    tools = one.task.make_tools()
    tools.state["log"].append("x")
    assert one.task.make_tools().state == one.start
    assert random.Random(1).random() == random.Random(1).random()
