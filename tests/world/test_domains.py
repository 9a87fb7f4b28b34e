"""The rules that every built-in domain must keep, above all that the splits share nothing."""

import copy
import json
import random
import re
from itertools import pairwise

import pytest

from toolmaster.types import Effect
from toolmaster.world import Amount, Name, Plan, Position, Word, World
from toolmaster.world.quirks import FAMILIES, KINDS
from toolmaster.world.quirks.loud import HiddenParameter
from toolmaster.world.surface import VERBS

SEEDS = range(30)
WORLD = World()
DOMAINS = sorted(WORLD.domains)
GOALS = [(name, goal) for name in DOMAINS for goal in sorted(WORLD.domains[name].goals)]
SPLITS = ("seen", "unseen")


def of_split(split):
    return [domain for domain in WORLD.domains.values() if domain.split == split]


def start_of(name, seed):
    return WORLD.domains[name].make_state(random.Random(f"{name}/{seed}"))


def plan_of(name, goal, seed):
    domain = WORLD.domains[name]
    plan = Plan(domain, start_of(name, seed), random.Random(f"{name}/{goal}/{seed}"))
    domain.goals[goal](plan)
    return plan


def first_table(state):
    return next(iter(state.values()))


def words(text):
    return set(re.findall(r"[a-z]+", text.lower()))


def strings(value):
    """Every text in a JSON value, keys included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *strings(item))]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return []


def shown_words(split):
    """Words of a split that tools show: verbs, nouns, parameters, hidden parameters, values."""
    found = {word for verbs in VERBS[split].values() for word in verbs}
    for domain in of_split(split):
        for tool in domain.tools.values():
            found.update(tool.nouns)
            found.update(name for kind in tool.params.values() for name in kind.names)
    for kind in KINDS:
        if kind.split == split:
            found.update(kind.choices)
            if kind is HiddenParameter:
                found.update(kind.values.values())
    return found


def state_words(split):
    """Words of the tables, attributes, entities and values of a split."""
    states = [start_of(domain.name, seed) for domain in of_split(split) for seed in SEEDS]
    return {word for state in states for text in strings(state) for word in words(text)}


def goal_word_choices(split):
    """Words that goals write, which a state may happen not to hold."""
    found = set()
    for name, goal in GOALS:
        if WORLD.domains[name].split == split:
            for seed in SEEDS:
                for call in plan_of(name, goal, seed).calls:
                    found.update(*map(words, strings(call.arguments)))
    return found


def test_there_are_enough_domains():
    assert len(of_split("seen")) >= 8
    assert len(of_split("unseen")) >= 4


def test_verbs_of_the_splits_are_disjoint():
    seen, unseen = ({verb for verbs in VERBS[split].values() for verb in verbs} for split in SPLITS)
    assert seen
    assert unseen
    assert not seen & unseen


def test_words_of_the_splits_are_disjoint():
    seen, unseen = (
        shown_words(split) | state_words(split) | goal_word_choices(split) for split in SPLITS
    )
    assert len(seen) > 300
    assert len(unseen) > 150
    assert sorted(seen & unseen) == []


def test_quirk_kinds_of_the_splits_are_disjoint():
    names = [kind.kind for kind in KINDS]
    assert len(names) == len(set(names))
    assert [kind.kind for kind in KINDS if kind.split == "both"] == ["plain"]
    drawn = {split: set() for split in SPLITS}
    for split in SPLITS:
        for task_id in WORLD.ids(split, 300, FAMILIES[1:]):
            drawn[split].add(WORLD.draw(task_id).task.labels["quirk"])
        assert drawn[split] == {kind.kind for kind in KINDS if kind.split == split}
    assert not drawn["seen"] & drawn["unseen"]


def test_seen_domains_share_no_entity_word():
    owner = {}
    for domain in of_split("seen"):
        entities = {word for seed in SEEDS for word in first_table(start_of(domain.name, seed))}
        for word in {part for name in entities for part in name.split()}:
            assert owner.setdefault(word, domain.name) == domain.name, word


@pytest.mark.parametrize("name", DOMAINS)
def test_names_on_the_surface_are_simple_and_do_not_clash(name):
    hidden = {word for kind in KINDS for word in kind.choices}
    for tool in WORLD.domains[name].tools.values():
        assert len(set(tool.nouns)) == 4, tool.key
        assert not tool.doc.endswith("."), tool.key
        shown = [word for kind in tool.params.values() for word in kind.names]
        assert len(shown) == len(set(shown)), f"{tool.key}: two parameters may get one name"
        assert not hidden & {*shown, *tool.params}, f"{tool.key}: a quirk uses this name too"
        assert all(re.fullmatch("[a-z]+", word) for word in [*tool.nouns, *shown]), tool.key


@pytest.mark.parametrize("name", DOMAINS)
def test_state_is_json_and_a_pure_function_of_the_rng(name):
    states = [start_of(name, seed) for seed in SEEDS]
    for seed, state in zip(SEEDS, states, strict=True):
        assert json.loads(json.dumps(state)) == state
        assert start_of(name, seed) == state
        assert all(re.fullmatch("[A-Z][a-z]+ [A-Z][a-z]+", entity) for entity in first_table(state))
    assert all(one != two for one, two in pairwise(states))


@pytest.mark.parametrize(("name", "goal"), GOALS)
def test_goal_asks_only_what_its_query_names(name, goal):
    for seed in SEEDS:
        plan = plan_of(name, goal, seed)
        assert plan.query.strip()
        assert plan.calls
        results = []
        for call in plan.calls:
            for value in call.arguments.values():
                named = re.search(rf"(?<![\w.]){re.escape(str(value))}(?!\w|\.\d)", plan.query)
                assert named or value in results, f"{value!r} is not in {plan.query!r}"
            results.append(call.result)


@pytest.mark.parametrize(("name", "goal"), GOALS)
def test_plan_arguments_are_valid(name, goal):
    for seed in SEEDS:
        start = start_of(name, seed)
        for call in plan_of(name, goal, seed).calls:
            kinds = WORLD.domains[name].tools[call.tool].params
            assert set(call.arguments) == set(kinds)
            for key, value in call.arguments.items():
                kind = kinds[key]
                if isinstance(kind, Name):
                    assert value in first_table(start)
                elif isinstance(kind, Position):
                    assert type(value) is int
                    assert 1 <= value <= 8
                elif isinstance(kind, Amount):
                    assert type(value) in (int, float)
                    assert value > 0
                    assert value == round(value, 2)
                else:
                    assert isinstance(kind, Word)
                    assert value.strip()


@pytest.mark.parametrize(("name", "goal"), GOALS)
def test_plan_replays_on_a_fresh_state(name, goal):
    tools = WORLD.domains[name].tools
    for seed in SEEDS:
        plan, state = plan_of(name, goal, seed), start_of(name, seed)
        for call in plan.calls:
            tool, before = tools[call.tool], copy.deepcopy(state)
            result = tool.run(state, **call.arguments)
            assert result == call.result
            if tool.effect is Effect.READ:
                assert state == before
                continue
            reader = tools[tool.shown_by]
            seen = reader.run(state, **{key: call.arguments[key] for key in reader.params})
            assert seen == call.arguments[tool.value]
        assert state == plan.state


@pytest.mark.parametrize(("name", "goal"), GOALS)
def test_goal_changes_the_state_only_if_it_writes(name, goal):
    tools = WORLD.domains[name].tools
    unchanged = 0
    for seed in SEEDS:
        plan, start = plan_of(name, goal, seed), start_of(name, seed)
        if any(tools[call.tool].effect is Effect.WRITE for call in plan.calls):
            assert plan.answer == "done"
            # By chance the value written may be the one already there.
            unchanged += plan.state == start
        else:
            assert plan.state == start
            assert plan.because or plan.answer == plan.calls[-1].result
    assert unchanged <= 3


@pytest.mark.parametrize(("name", "goal"), GOALS)
def test_comparison_has_a_winner_who_is_the_answer(name, goal):
    tools = WORLD.domains[name].tools
    for seed in SEEDS:
        plan = plan_of(name, goal, seed)
        compared = re.fullmatch(r"([\d.]+) is (more|less) than ([\d.]+)", plan.because)
        numbers = [call for call in plan.calls if isinstance(tools[call.tool].returns, Amount)]
        if not compared or len(numbers) != 2:
            continue
        left, order, right = float(compared[1]), compared[2], float(compared[3])
        assert left > right if order == "more" else left < right
        entity_of = {call.result: next(iter(call.arguments.values())) for call in numbers}
        assert set(entity_of) == {left, right}
        winner = next(iter(plan.calls[-1].arguments.values()))
        assert entity_of[left] == (winner if plan.answer == "done" else plan.answer)


def test_every_domain_compares_something():
    comparing = {name for name, goal in GOALS if " than " in plan_of(name, goal, 0).because}
    assert comparing == set(DOMAINS)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", DOMAINS)
def test_every_family_can_be_drawn(name, family):
    split = WORLD.domains[name].split
    for number in range(5):
        drawn = WORLD.draw(f"v5/{split}/{name}/{family}/{number}")
        assert drawn.task.labels["family"] == family
        assert drawn.plan.domain.name == name
        assert drawn.plan.query == drawn.task.query


def test_texts_that_calls_need_are_quoted_in_the_request():
    plan = Plan(
        WORLD.domains["bakery"], {"t": {"Rye": 1, "Rye Loaf": 2, "Oat": 3}}, random.Random(0)
    )
    plan._picked = {"Rye", "Rye Loaf", "Oat"}
    plan.ask("Is Rye Loaf in Ryeland more than Rye, or Oat?", answer=1)
    assert plan.query == 'Is "Rye Loaf" in Ryeland more than "Rye", or "Oat"?'


def test_a_request_without_texts_stays_as_it_is():
    plan = Plan(WORLD.domains["bakery"], {}, random.Random(0))
    plan.ask("Which product is first?", answer=1)
    assert plan.query == "Which product is first?"
