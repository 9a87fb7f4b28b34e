"""`Taskset`: ids, splits, orders, what is opened, and training kept apart from evaluation."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from toolmaster.errors import ConfigError, InputError, PolicyError
from toolmaster.limits import Limits
from toolmaster.tasksets import LeftOut, Task, Taskset, mix, taskset
from toolmaster.tasksets.order import Computed
from toolmaster.tasksets.taskset import SharedResource, hash_split, refuse_endless, refuse_overlap


def tasks_of(*ids):
    return [Task(task_id, f"query {task_id}", []) for task_id in ids]


@pytest.fixture
def shop():
    return Taskset("shop", tasks_of(*(f"shop/{i}" for i in range(1, 11))), version="3")


def ids(split, length=10**9):
    """A great many ids of one split."""
    return Computed(length, lambda number: f"{split}-{number}")


def split_of(task_id):
    return task_id.partition("-")[0]


def draw(task_id):
    split, _, number = task_id.partition("-")
    if split not in ("train", "test") or not number.isdigit():
        raise InputError(f"no task {task_id!r}")
    return Task(task_id, f"query {task_id}", [])


@pytest.fixture
def drawn():
    splits = {"train": ids("train"), "test": ids("test", 10**8)}
    return Taskset.drawn("drawn", splits, draw, split_of, version="1")


def test_by_position_and_by_id(shop):
    assert len(shop) == 10
    assert shop[0].id == "shop/1"
    assert shop[-1].id == "shop/10"
    assert shop["shop/4"].query == "query shop/4"
    assert [task.id for task in shop][:2] == ["shop/1", "shop/2"]
    assert "shop/4" in shop
    assert shop[3] in shop
    assert "nothing" not in shop
    with pytest.raises(InputError, match=r"'shop' has no task 'x'; it has 10, the first is 'shop"):
        shop["x"]
    with pytest.raises(IndexError):
        shop[10]


def test_a_slice_is_a_task_set(shop):
    part = shop[2:5]
    assert isinstance(part, Taskset)
    assert part.ids == ("shop/3", "shop/4", "shop/5")
    assert part.name == "shop"
    assert shop[::-1].ids[0] == "shop/10"
    assert len(shop[20:]) == 0
    assert "shop/1" not in part
    assert part["shop/1"].id == "shop/1"  # by id, every task of the set is found


def test_the_split_by_hash_is_the_same_for_ever(shop):
    assert shop.split("test").ids == ("shop/7",)
    assert shop.split("train").ids == tuple(x for x in shop.ids if x != "shop/7")
    named = {"a": "train", "toolhop/3": "train", "task/7": "train", "ä": "test", "": "train"}
    assert {x: hash_split(x) for x in named} == named
    counted = sum(hash_split(f"task/{i}") == "train" for i in range(10_000))
    assert 7900 < counted < 8100


def test_splits_of_a_slice(shop):
    assert shop[4:].split("test").ids == ("shop/7",)
    assert shop.split("train")[:2].ids == ("shop/1", "shop/2")
    assert shop.split("train").split("train").part == "train"
    with pytest.raises(ConfigError, match="this is the split 'train' of 'shop', not 'test'"):
        shop.split("train").split("test")
    with pytest.raises(ConfigError, match="has no split 'dev'; it has: train, test"):
        shop.split("dev")


def test_a_set_with_splits_of_its_own():
    tasks = Taskset("own", tasks_of("a1", "b1", "a2"), split_of=lambda task_id: task_id[0])
    assert tasks.split_names == ("a", "b")
    assert tasks.split("a").ids == ("a1", "a2")
    assert tasks.split_of("b7") == "b"
    assert tasks.for_training() is tasks  # it has no split "train"
    with pytest.raises(ConfigError, match="it has: a, b"):
        tasks.split("train")


def test_own_train_and_test_splits_are_taken_by_themselves(drawn, shop):
    assert drawn.for_training().part == "train"
    assert drawn.for_evaluation().ids[0] == "test-0"
    assert drawn.split("test").for_training().part == "test"  # somebody chose it
    assert shop.for_training() is shop
    assert shop.for_evaluation() is shop


def test_labels_and_facts(shop):
    assert shop.label == "shop (3)"
    assert shop.split("test").label == "shop/test (3)"
    tasks = Taskset("x", tasks_of("a"), facts={"judge": "m", "taskset": "nonsense"})
    assert tasks.facts == {"judge": "m", "taskset": "x (1)"}
    row = LeftOut("x.json", 3, "answer", "missing")
    tasks = Taskset("x", tasks_of("a"), left_out=[row], limits=Limits(max_turns=3), oracle=print)
    assert list(tasks[:0].left_out) == [row]
    assert tasks[:0].limits.max_turns == 3
    assert tasks.oracle is print


def test_shuffles(shop):
    once = shop.shuffled(7)
    assert once.ids == shop.shuffled(7).ids != shop.ids
    assert sorted(once.ids) == sorted(shop.ids)
    assert shop.shuffled(8).ids != once.ids
    assert set(once.split("train").ids) == set(shop.split("train").ids)


def test_a_drawn_set_in_other_orders(drawn):
    assert drawn.shuffled(1).ids[0] == "train-400000"
    assert drawn.split("test").shuffled(1).ids[:2] == ("test-400000", "test-400001")
    assert drawn.shuffled(1).split("test").ids[0] == "test-400000"
    assert drawn.shuffled(0).split("train").ids[0] == "train-0"
    assert drawn.shuffled(5).shuffled(1).ids[0] == "train-400000"
    first = drawn[:3]
    assert first.ids == ("train-0", "train-1", "train-2")
    assert first.split("train").ids == first.ids
    assert len(first.split("test")) == 0
    assert drawn["test-17"].query == "query test-17"
    with pytest.raises(InputError, match="no task 'dev-1'"):
        drawn["dev-1"]


def test_tasks_left_out(shop, drawn):
    assert shop.without(["shop/1", "elsewhere"]).ids == shop.ids[1:]
    assert drawn[:3].without(["train-1"]).ids == ("train-0", "train-2")
    with pytest.raises(InputError, match=r"1,000,000,000 tasks; take some .* tasks\[:1000\]"):
        drawn.without(["train-1"])


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (tasks_of("a", "b", "a"), "'bad': the id 'a' is used twice"),
        ([Task("a", "q", []), "b"], "'bad' holds tasks, received 'b'"),
    ],
)
def test_what_is_no_task_set(tasks, said):
    with pytest.raises(InputError, match=said):
        Taskset("bad", tasks)


def test_what_is_opened_is_found_by_the_tools_while_it_is_open():
    made = []

    @asynccontextmanager
    async def make():
        made.append(len(made))
        yield made[-1]

    held = SharedResource(make)
    tasks = Taskset("t", [], resources=held.open)

    async def opened():
        async with tasks.open(), held.open():
            return held.current

    assert [asyncio.run(opened()) for _ in range(2)] == [0, 1]
    with pytest.raises(PolicyError, match=r"run its tasks inside `tasks\.open\(\)`"):
        _ = held.current


class Service:
    """Counts how often it is opened and closed."""

    def __init__(self):
        self.opened = self.closed = 0

    @asynccontextmanager
    async def open(self):
        await asyncio.sleep(0)
        self.opened += 1
        yield
        await asyncio.sleep(0)
        self.closed += 1


def test_parts_that_are_open_together_share_what_is_opened():
    service = Service()
    tasks = Taskset("a", tasks_of("1", "2"), resources=service.open)

    async def nested():
        async with tasks[:1].open() as part, tasks.shuffled(1).open():
            assert part.ids == ("1",)
            assert (service.opened, service.closed) == (1, 0)
        assert (service.opened, service.closed) == (1, 1)

    async def use(part):
        async with part.open():
            await asyncio.sleep(0)
            assert service.opened == service.closed + 1

    async def together():
        await asyncio.gather(*(use(tasks[i:]) for i in range(5)))

    asyncio.run(nested())
    asyncio.run(together())  # another event loop
    assert (service.opened, service.closed) == (2, 2)


def test_what_is_opened_is_closed_after_a_failure_and_opened_again():
    service = Service()
    tasks = Taskset("a", tasks_of("1"), resources=service.open)

    async def fail():
        async with tasks.open():
            raise KeyError

    for count in (1, 2):
        with pytest.raises(KeyError):
            asyncio.run(fail())
        assert (service.opened, service.closed) == (count, count)


def test_what_cannot_be_opened_leaves_nothing_open():
    @asynccontextmanager
    async def broken():
        raise InputError("no server")
        yield

    tasks = Taskset("a", tasks_of("1"), resources=broken)

    async def work():
        async with tasks.open():
            pass

    for _ in range(2):
        with pytest.raises(InputError, match="no server"):
            asyncio.run(work())


def test_training_and_evaluation_are_kept_apart(shop, drawn):
    refuse_overlap(shop.split("train"), shop.split("test"))
    refuse_overlap(shop[:5], shop[5:])
    refuse_overlap(drawn, drawn.split("test"))
    refuse_overlap(drawn[:5], drawn[5:10])
    refuse_overlap(shop, Taskset("other", tasks_of("shop/1")))  # ids mean something in a set only
    for training, measured in [
        (shop, shop),
        (shop[:5], shop[4:]),
        (shop, shop.split("test")),
        (drawn, drawn),
        (drawn, drawn.split("train")[7:9]),
        (drawn[:8], drawn.split("train")[7:9]),
    ]:
        with pytest.raises(InputError, match=r"is a task of both training .* split=train and"):
            refuse_overlap(training, measured)


def test_what_a_mixture_trains_on_is_not_measured(shop, drawn):
    other = Taskset("other", tasks_of(*(f"other/{i}" for i in range(5))))
    mixture = mix({shop.split("train"): 1, drawn.split("train"): 1, other: 1})
    refuse_overlap(mixture, shop.split("test"))
    refuse_overlap(mixture, drawn.split("test"))
    endless = mix({drawn.split("train"): 1, drawn.split("test"): 1})
    for training, measured in [
        (mixture, shop.split("train")),
        (mixture, other[:1]),
        (shop, mixture),
        (mixture, mixture[:2]),
        (endless, drawn.split("train")),
    ]:
        with pytest.raises(InputError, match="is a task of both training"):
            refuse_overlap(training, measured)


def test_a_set_drawn_on_demand_is_not_measured_whole():
    drawn = taskset("world:short split=test")
    with pytest.raises(InputError, match=r"\(v\w+\) has [\d,]+ tasks; say how many to measure"):
        refuse_endless(drawn)
    refuse_endless(drawn[:200])
