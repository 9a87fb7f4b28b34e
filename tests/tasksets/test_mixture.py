"""`mix`: shares, splits, limits, facts, and which set a task comes from."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from toolmaster.errors import ConfigError, InputError
from toolmaster.limits import Limits
from toolmaster.tasksets import LeftOut, Task, Taskset, mix, taskset


def make(name, count=40, **options):
    return Taskset(name, [Task(f"{name}/{i}", f"{name} {i}", []) for i in range(count)], **options)


def share(tasks, name):
    return sum(task_id.startswith(name) for task_id in tasks.ids) / len(tasks)


def test_the_shares_of_the_weights():
    tasks = mix({make("a", 200): 0.7, make("b", 200): 0.3})
    assert len(tasks) == 286  # all of a, and 0.3/0.7 as many of b
    assert share(tasks[:100], "a") == 0.7
    assert share(tasks[100:200], "b") == 0.3
    assert tasks["b/7"].query == "b 7"
    assert [task.id for task in tasks[:3]] == ["a/0", "b/0", "a/1"]


def test_weights_need_not_add_up_and_a_shuffle_keeps_them():
    tasks = mix([(make("a", 300), 3), (make("b", 100), 1)])
    assert share(tasks, "a") == 0.75
    moved = tasks.shuffled(4)
    assert moved.ids != tasks.ids
    assert sorted(moved.ids) == sorted(tasks.ids)


def test_splits_of_a_mixture_are_mixtures_of_the_splits():
    a, b = make("a"), make("b")
    tasks = mix({a: 1, b: 1})
    train, test = tasks.split("train"), tasks.split("test")
    assert set(train.ids) <= {*a.split("train").ids, *b.split("train").ids}
    assert set(test.ids) <= {*a.split("test").ids, *b.split("test").ids}
    assert len(test) == 2 * min(len(a.split("test")), len(b.split("test")))
    assert set(tasks.shuffled(1).split("test").ids).isdisjoint(train.ids)
    assert test.label == "a + b/test (1 + 1)"


def test_a_mixture_with_nothing_in_common_has_no_splits():
    tasks = mix({make("a", split_of=lambda _: "dev"): 1, make("b"): 1})
    assert tasks.split_names == ()
    with pytest.raises(ConfigError, match="'a \\+ b' has no split 'train'; it has: none"):
        tasks.split("train")
    chosen = mix({make("a").split("train"): 1, make("b"): 1})
    assert chosen.split_names == ("train",)


def test_a_mixture_of_drawn_and_listed_tasks():
    tasks = taskset({"world:short split=train": 3, make("mine", 50): 1})
    assert len(tasks) == 200  # all 50 of `mine`, and three times as many of the other
    assert share(tasks[:100], "mine") == 0.25
    assert tasks["mine/3"].query == "mine 3"
    assert tasks[0].id.startswith("v6s/train/")
    assert tasks.split_of(tasks.ids[0]) == "train"
    assert tasks.oracle is not None
    with pytest.raises(InputError, match="no task 'nothing'"):
        tasks["nothing"]


def test_limits_facts_and_rows_left_out_are_kept():
    row = LeftOut("a.json", 2, "x", "bad")
    a = make("a", limits=Limits(max_turns=40, result_chars=100), facts={"judge": "m"})
    b = make("b", limits=Limits(max_turns=9, result_chars=500), left_out=[row], facts={"k": "1"})
    c = make("c", facts={"judge": "n"}, version="2")
    tasks = mix({a: 1, b: 1, c: 2})
    assert tasks.limits == Limits(max_turns=40, result_chars=500)
    assert tasks.left_out == [row]
    assert tasks.facts == {
        "mixture": "25% a (1) + 25% b (1) + 50% c (2)",
        "judge": "m + n",
        "k": "1",
        "taskset": "a + b + c (1 + 1 + 2)",
    }
    assert mix({make("d"): 1}).limits is None


def test_all_sets_are_opened():
    events = []

    def service(name):
        @asynccontextmanager
        async def resources():
            events.append(f"{name} opened")
            yield
            events.append(f"{name} closed")

        return resources

    a, b = (make(name, resources=service(name)) for name in "ab")

    async def work():
        async with mix({a.split("train"): 1, a.split("test"): 1, b: 1}).open():
            events.append("run")

    asyncio.run(work())
    assert events == ["a opened", "b opened", "run", "b closed", "a closed"]


def test_the_oracle_of_the_set_that_a_task_comes_from():
    async def demonstrate(task_id, setting):
        return f"{task_id} {setting}"

    tasks = mix({make("a", oracle=demonstrate): 1, make("b"): 1})
    assert asyncio.run(tasks.oracle("a/3", "trial")) == "a/3 trial"
    assert asyncio.run(tasks.oracle("b/3", "trial")) is None
    assert mix({make("c"): 1}).oracle is None


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "takes task sets with weights"),
        ([(make("a"), 0)], "weights above 0"),
        ([(make("a"), float("nan"))], "weights above 0"),
        ([(make("a"), 1), (make("a"), 1)], "the id 'a/0' is in two sets of the mixture"),
    ],
)
def test_what_cannot_be_mixed(parts, said):
    with pytest.raises(InputError, match=said):
        mix(parts)


def test_an_empty_set_makes_an_empty_mixture():
    assert len(mix({make("a"): 1, make("b", 0): 1})) == 0
    assert len(mix({make("a", 0): 1})) == 0
