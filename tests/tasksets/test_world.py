"""The embedded world as a task set: its splits are disjoint and what training never shows."""

import pytest

from toolmaster.errors import ConfigError, InputError
from toolmaster.tasksets import taskset
from toolmaster.tasksets.taskset import refuse_overlap
from toolmaster.tasksets.world import split_of


@pytest.fixture(scope="module")
def short():
    return taskset("world:short")


def test_names_and_versions(short):
    assert short.label == "world:short (v5s)"
    assert taskset("world").label == "world (v5)"
    assert short.split_names == ("train", "test", "test_seen")
    assert short.for_evaluation().label == "world:short/test (v5s)"
    assert short.oracle is not None


def test_ids_are_drawn_without_end(short):
    assert len(short) == 4 * 90_000_000
    ids = short.ids[:8]
    assert [task_id.split("/")[3] for task_id in ids[:4]] == [
        "plain",
        "loud",
        "silent",
        "irreversible",
    ]
    assert ids == taskset("world:short").ids[:8]
    assert all(task.id == task_id for task, task_id in zip(short[:8], ids, strict=True))
    assert short.shuffled(3).ids[0] != ids[0]


def test_every_split_says_so(short):
    for name in short.split_names:
        part = short.split(name)
        for task_id in [*part.ids[:40], part.ids[-1]]:
            assert split_of(task_id) == short.split_of(task_id) == name
    seen = {task_id.split("/")[2] for task_id in short.split("train").ids[:500]}
    unseen = {task_id.split("/")[2] for task_id in short.split("test").ids[:500]}
    assert seen.isdisjoint(unseen)
    assert seen == {task_id.split("/")[2] for task_id in short.split("test_seen").ids[:500]}


def test_training_never_sees_what_is_measured(short):
    for name in ("test", "test_seen"):
        refuse_overlap(short.split("train"), short.split(name))
        refuse_overlap(short.shuffled(3), short.split(name))
    with pytest.raises(InputError, match="is a task of both"):
        refuse_overlap(short, short.split("train")[:20])


def test_options():
    only = taskset("world:short families=plain,silent")
    assert {task_id.split("/")[3] for task_id in only.ids[:20]} == {"plain", "silent"}
    with pytest.raises(ConfigError, match="unknown family 'odd'"):
        taskset("world families=odd")


def test_one_folder_of_ones_own(tmp_path):
    (tmp_path / "domain.py").write_text(
        """
from toolmaster.world.domain import Amount, Domain, Name, Plan

domain = Domain("kiosk", "seen", "papers with prices")
PAPERS = ("Daily News", "Evening Post", "Racing Form", "Sunday Herald")
PAPER = Name(("paper", "title"))


@domain.state
def make_state(rng):
    return {"papers": {paper: {"price": rng.randint(5, 1999) / 100} for paper in PAPERS}}


@domain.read("price", "cost", doc="Price of a paper", returns=Amount(), paper=PAPER)
def price(state, paper):
    return state["papers"][paper]["price"]


@domain.write("price", "cost", doc="Set the price of a paper", paper=PAPER,
              dollars=Amount(("dollars", "sum")), shown_by="price", value="dollars")
def set_price(state, paper, dollars):
    state["papers"][paper]["price"] = dollars


@domain.goal
def change_price(plan: Plan):
    [paper], dollars = plan.pick("papers"), plan.whole_number()
    plan.do("set_price", paper=paper, dollars=dollars)
    plan.ask(f"Set the price of the {paper} to {dollars} dollars.", answer="done")
"""
    )
    tasks = taskset(f"world:short builtin=false domains={tmp_path} families=plain")
    assert tasks.split_names == ("train", "test_seen")  # no unseen domain is loaded
    assert tasks.ids[0].startswith("v5s/seen/kiosk/plain/")
    assert "dollars" in tasks[0].query
