"""Tasks from ids: purity, checkers, answers, ids and external domain folders."""

import copy
import hashlib
import json
import random

import pytest
from turns import verdict

from toolmaster.errors import DomainError, InputError
from toolmaster.tasksets.answers import as_answer, same_answer
from toolmaster.types import Effect
from toolmaster.world import Plan, World
from toolmaster.world.quirks import FAMILIES

WORLD = World()
DOMAIN = """
import random
from toolmaster.world import Amount, Domain, Name

domain = Domain("kiosk", "unseen", "papers")
PAPER = Name(("paper",))

@domain.state
def make_state(rng):
    return {"papers": {"Daily News": rng.randint(1, 9), "Evening Post": 3}}

@domain.read("price", doc="Price of a paper", returns=Amount(), paper=PAPER)
def price(state, paper):
    return state["papers"][paper]

@domain.goal
def ask_price(plan):
    [paper] = plan.pick("papers")
    plan.ask(f"Price of {paper}?", answer=plan.do("price", paper=paper))
"""


def facts(drawn):
    """Everything that can be seen or compared of a task."""
    tools = drawn.task.make_tools()
    return json.dumps(
        [
            drawn.task.query,
            dict(drawn.task.labels),
            tools.schemas(),
            tools.state,
            drawn.plan.state,
            drawn.plan.answer,
            drawn.plan.because,
            [[c.tool, c.arguments, c.result] for c in drawn.plan.calls],
            [[s.name, s.quirk.kind, s.quirk.word] for s in drawn.surfaces],
            {key: [s.name for s in pair] for key, pair in drawn.chosen.items()},
        ]
    )


def draw(split="seen", writes=False, family="plain"):
    """The first drawn task that writes, or the first that does not."""
    for task_id in WORLD.ids(split, 50, [family]):
        drawn = WORLD.draw(task_id)
        tools = drawn.plan.domain.tools
        if writes == any(tools[c.tool].effect is Effect.WRITE for c in drawn.plan.calls):
            return drawn
    raise AssertionError("no such task")


@pytest.fixture
def folder(tmp_path):
    def make(text, name="kiosk"):
        path = tmp_path / name
        path.mkdir()
        (path / "domain.py").write_text(text)
        return path

    return make


def test_a_task_is_a_pure_function_of_its_id():
    fresh = World()
    ids = WORLD.ids("seen", 20, FAMILIES) + WORLD.ids("unseen", 20, FAMILIES)
    first = [facts(WORLD.draw(task_id)) for task_id in ids]
    assert [facts(WORLD.draw(task_id)) for task_id in reversed(ids)] == first[::-1]
    assert [facts(fresh.draw(task_id)) for task_id in ids] == first
    assert len(set(first)) == 40


@pytest.mark.parametrize(("pieces", "idle"), [(3, True), (4, False)])
def test_a_write_of_what_is_there_is_idle(pieces, idle):
    start = {"products": {"Rye Loaf": {"stock": 3}}}
    plan = Plan(WORLD.domains["bakery"], copy.deepcopy(start), random.Random(0))
    plan.do("set_stock", product="Rye Loaf", pieces=pieces)
    plan.ask("Set the stock.", answer="done")
    assert plan.is_idle(start) is idle


@pytest.mark.parametrize(("because", "idle"), [("3 is more than 3", True), ("", False)])
def test_a_comparison_of_equals_is_idle(because, idle):
    start = {"products": {"Rye Loaf": {"stock": 3}, "Oat Bun": {"stock": 3}}}
    plan = Plan(WORLD.domains["bakery"], start, random.Random(0))
    for product in start["products"]:
        plan.do("stock", product=product)
    plan.ask("Which has more?", answer="Rye Loaf", because=because)
    assert plan.is_idle(start) is idle


def test_no_task_is_done_before_it_begins():
    for split in ("seen", "unseen"):
        for task_id in WORLD.ids(split, 400, ["plain", "irreversible"]):
            drawn = WORLD.draw(task_id)
            writes = any(
                drawn.plan.domain.tools[call.tool].effect is Effect.WRITE
                for call in drawn.plan.calls
            )
            assert not writes or drawn.task.make_tools().state != drawn.plan.state, task_id


def test_drawn_tasks_stay_what_they_were():
    """Only a new version of the ids, or new kinds of quirks, may change this."""
    digest = hashlib.sha256()
    for level in ("full", "short"):
        world = World(level=level)
        for split in ("seen", "unseen"):
            for task_id in world.ids(split, 80, FAMILIES):
                digest.update(facts(world.draw(task_id)).encode())
    assert digest.hexdigest().startswith("64ab417d6122aefe73873a67db1c4372")


def test_an_id_means_the_same_for_ever():
    assert WORLD.draw("v5/seen/bakery/silent/42").task.id == "v5/seen/bakery/silent/42"
    labels = WORLD.draw("v5/seen/bakery/silent/42").task.labels
    assert {key: labels[key] for key in ("split", "domain", "family")} == {
        "split": "seen",
        "domain": "bakery",
        "family": "silent",
    }


def test_sessions_do_not_share_state():
    task = draw().task
    one, two = task.make_tools(), task.make_tools()
    one.state.clear()
    assert two.state
    assert task.make_tools().state == two.state


def test_checker_of_a_reading_task():
    drawn = draw()
    tools = drawn.task.make_tools()
    right = verdict(drawn.task, as_answer(drawn.plan.answer), tools)
    assert (right.success, right.parts["answer"], right.parts["state"]) == (True, True, True)
    for given in ("nonsense", "", None):
        wrong = verdict(drawn.task, given, tools)
        assert (wrong.success, wrong.parts["answer"], wrong.parts["state"]) == (False, False, True)
    tools.state["extra"] = 1
    spoilt = verdict(drawn.task, as_answer(drawn.plan.answer), tools)
    assert (spoilt.success, spoilt.parts["answer"], spoilt.parts["state"]) == (False, True, False)


def test_checker_of_a_writing_task():
    drawn = draw(writes=True)
    tools = drawn.task.make_tools()
    idle = verdict(drawn.task, "done", tools)
    assert (idle.success, idle.parts["answer"], idle.parts["state"]) == (False, True, False)
    for call in drawn.plan.calls:
        drawn.plan.domain.tools[call.tool].run(tools.state, **call.arguments)
    assert verdict(drawn.task, "I did it", tools).success
    assert not verdict(drawn.task, None, tools).success


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ("4.5", 4.5),
        (" 4.50. ", 4.5),
        ("4", 4.0),
        ("4.0", 4),
        ("1,234.5", 1234.5),
        ("-3", -3),
        ("Rye Loaf", "Rye Loaf"),
        ("  rye   LOAF. ", "Rye Loaf"),
        ("7", "7"),
    ],
)
def test_same(given, truth):
    assert same_answer(given, truth)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        (None, 4),
        (None, "None"),
        ("", 0),
        ("four", 4),
        ("4.51", 4.5),
        ("4 dollars", 4),
        ("nan", 4),
        ("inf", 4),
        ("RyeLoaf", "Rye Loaf"),
        ("the Rye Loaf", "Rye Loaf"),
        ("", "Rye Loaf"),
    ],
)
def test_not_same(given, truth):
    assert not same_answer(given, truth)


@pytest.mark.parametrize(
    ("value", "shown"), [("a b", "a b"), (4, "4"), (4.5, "4.5"), (["é"], '["é"]')]
)
def test_show(value, shown):
    assert as_answer(value) == shown


@pytest.mark.parametrize(
    "task_id",
    ["", "v5", "v2/seen/bakery/silent/1", "v5/seen/bakery/silent", "v5/seen/bakery/silent/x",
     "v5/seen/bakery/silent/-1", "v5/seen/bakery/silent/1/0", "v5/seen/bakery/silent/1/c",
     "v5/seen/bakery/silent/1/2d", "v5/seen/bakery/silent/1/2/3"],
)  # fmt: skip
def test_malformed_ids(task_id):
    with pytest.raises(InputError, match="expected v5/SPLIT/DOMAIN/FAMILY/NUMBER"):
        WORLD.draw(task_id)


@pytest.mark.parametrize(
    "task_id",
    ["v5/unseen/bakery/silent/1", "v5/seen/nowhere/silent/1", "v5/seen/bakery/noisy/1"],
)
def test_ids_of_nothing(task_id):
    with pytest.raises(InputError, match="no such domain, split or family"):
        WORLD.draw(task_id)


def test_ids_alternate_families():
    ids = WORLD.ids("seen", 10, ["loud", "plain"], start=3)
    parts = [task_id.split("/") for task_id in ids]
    assert [p[3] for p in parts] == ["loud", "plain"] * 5
    assert [p[4] for p in parts] == ["3", "3", "4", "4", "5", "5", "6", "6", "7", "7"]
    assert {(p[0], p[1]) for p in parts} == {("v5", "seen")}
    assert WORLD.ids("seen", 4, ["loud", "plain"], start=3) == ids[:4]
    assert WORLD.ids("seen", 6, ["loud", "plain"], start=5) == ids[4:]


def test_ids_visit_every_domain():
    for split in ("seen", "unseen"):
        drawn = {task_id.split("/")[2] for task_id in WORLD.ids(split, 200, FAMILIES)}
        assert drawn == {d.name for d in WORLD.domains.values() if d.split == split}


@pytest.mark.parametrize(
    ("split", "families", "message"),
    [
        ("seen", ["noisy"], "unknown family 'noisy'; allowed: plain, loud, silent, irreversible"),
        ("seen", [], "no family is named"),
        ("new", ["plain"], "no domain of split 'new' is loaded"),
    ],
)
def test_ids_of_unknown_things(split, families, message):
    with pytest.raises(InputError, match=message):
        WORLD.ids(split, 1, families)


def test_an_external_domain(folder):
    world = World([folder(DOMAIN)], builtin=False)
    assert list(world.domains) == ["kiosk"]
    assert world.ids("unseen", 1, ["loud"]) == ["v5/unseen/kiosk/loud/0"]
    drawn = world.draw("v5/unseen/kiosk/silent/0")
    assert verdict(drawn.task, as_answer(drawn.plan.answer), drawn.task.make_tools()).success
    with pytest.raises(
        DomainError, match="no goal of it has a place for a quirk of the irreversible family"
    ):
        world.draw("v5/unseen/kiosk/irreversible/0")


def test_an_example_when_every_choice_is_asked_for(folder):
    one_paper = DOMAIN.replace(', "Evening Post": 3', "")
    world = World([folder(one_paper)], builtin=False)
    drawn = [world.draw(task_id) for task_id in world.ids("unseen", 12, ["plain", "silent"])]
    examples = [s.example.arguments for d in drawn for s in d.surfaces if s.example is not None]
    assert examples
    assert all(arguments == {"paper": "Daily News"} for arguments in examples)


def test_an_external_domain_stands_beside_the_builtin_ones(folder):
    world = World([folder(DOMAIN)])
    assert set(world.domains) == {*WORLD.domains, "kiosk"}


def test_a_name_twice(folder):
    paths = [folder(DOMAIN), folder(DOMAIN, "other")]
    with pytest.raises(DomainError, match="a domain called 'kiosk' is already loaded"):
        World(paths, builtin=False)


def test_a_folder_without_a_domain(tmp_path):
    with pytest.raises(DomainError, match=r"is no domain: it has no domain\.py"):
        World([tmp_path], builtin=False)


WRITE = '\n@domain.write("price", doc="Set", {})\ndef put(state, paper, sum): ...\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "it must define `domain = Domain"),
        ("domain = 3", "it must define `domain = Domain"),
        ("def (", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (DOMAIN.replace('"unseen"', '"new"'), "split is 'new'; it must be 'seen' or 'unseen'"),
        (DOMAIN.replace("@domain.state", ""), "no function is decorated with @domain.state"),
        (DOMAIN.replace("@domain.goal", ""), "no function is decorated with @domain.goal"),
        (DOMAIN.replace('"price", doc', "doc"), "tool 'price' names no noun"),
        (DOMAIN.replace('Name(("paper",))', "Name()"), "price.paper has a kind without names"),
        (DOMAIN + WRITE.format("paper=PAPER"), "needs shown_by= .* and value="),
        (
            DOMAIN + WRITE.format('shown_by="no", value="paper", paper=PAPER'),
            "names something that does not exist",
        ),
        (
            DOMAIN + WRITE.format('shown_by="price", value="sum", sum=Amount(("sum",))'),
            "'price' needs .'paper'., which it lacks",
        ),
    ],
)
def test_broken_domains(folder, text, message):
    with pytest.raises(DomainError, match=message):
        World([folder(text)], builtin=False)
