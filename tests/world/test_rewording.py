"""Other words: the same in request and documentation, and only where both have them."""

import random
from dataclasses import replace

import pytest

from toolmaster.world.domain import Amount, Domain, Name, Plan
from toolmaster.world.lexicon import long_words
from toolmaster.world.rewording import reword
from toolmaster.world.tasks import World

WORLD = World(level="short")


def make_plan(query, rng):
    domain = Domain("kiosk", "seen", "a kiosk")

    @domain.read("price", doc="Price of a paper in dollars", returns=Amount(), paper=Name(("p",)))
    def price(state, paper):
        return state["papers"][paper]

    @domain.read("copies", doc="Copies that we have", returns=Amount(), paper=Name(("p",)))
    def copies(state, paper):
        return 3

    plan = Plan(domain, {"papers": {"Daily Price": 2}}, rng)
    [paper] = plan.pick("papers")
    plan.ask(query, answer=plan.do("price", paper=paper))
    return plan


@pytest.mark.parametrize("seed", range(20))
def test_a_word_is_replaced_in_both_or_in_neither(seed):
    rng = random.Random(seed)
    plan = make_plan("How many dollars is the Daily Price? Tell me.", rng)
    reword(plan, rng)
    assert set(plan.words) <= {"dollars", "copies"}  # "price" and "paper": not in the request
    dollars = plan.words.get("dollars", "dollars")
    assert plan.query == f'How many {dollars} is the "Daily Price"? Tell me.'
    tools = plan.domain.tools
    assert tools["price"].doc == f"Price of a paper in {dollars}"
    assert tools["price"].nouns == ("price",)
    copies = plan.words.get("copies", "copies")
    assert tools["copies"].doc == f"{copies.capitalize()} that we have"
    assert tools["copies"].nouns == (copies,)


def test_most_words_are_replaced_and_the_domain_itself_stays():
    drawn = []
    for seed in range(200):
        plan = make_plan("What is the price of the Daily Price?", random.Random(seed))
        before = plan.domain
        reword(plan, random.Random(seed))
        drawn += plan.words
        assert before.tools["price"].doc == "Price of a paper in dollars"
        assert plan.domain.tools["price"].run is before.tools["price"].run
    assert 80 < drawn.count("price") < 160
    assert 80 < drawn.count("copies") < 160
    assert "dollars" not in drawn


def test_half_of_the_seen_tasks_have_other_words_and_no_unseen_one():
    def share(split):
        ids = WORLD.ids(split, 400, ("plain", "silent"))
        return sum(bool(WORLD.draw(task_id).plan.words) for task_id in ids) / len(ids)

    assert 0.4 < share("seen") < 0.6
    assert share("unseen") == 0


def test_a_series_goes_on_in_the_same_words():
    ids = [i for i in WORLD.ids("seen", 80, ("silent",)) if WORLD.draw(i).plan.words]
    asked = 0
    for task_id in ids:
        first, second = WORLD.draw(task_id), WORLD.draw(f"{task_id}/2")
        assert second.plan.words == first.plan.words
        assert [s.doc for s in second.surfaces] == [s.doc for s in first.surfaces]
        old = set(first.plan.words) - set(first.plan.words.values())
        assert not old & long_words(second.task.query)
        asked += bool(set(first.plan.words.values()) & long_words(second.task.query))
    assert asked > len(ids) / 4


def test_the_tools_do_what_they_did():
    for task_id in WORLD.ids("seen", 100, ("plain",)):
        drawn = WORLD.draw(task_id)
        plain = WORLD.domains[drawn.plan.domain.name]
        for key, tool in drawn.plan.domain.tools.items():
            assert replace(tool, doc="", nouns=()) == replace(plain.tools[key], doc="", nouns=())
