"""Tasks from a class that says nothing about effects, and from tools that show no values."""

import json
from pathlib import Path
from random import Random

import pytest

from toolmaster.errors import ConfigError, InputError
from toolmaster.evaluation.evaluate import evaluate
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.specialize.facts import Fact
from toolmaster.specialize.generate import GenerateSettings, generate
from toolmaster.specialize.wording import Wording
from toolmaster.tasksets import taskset
from toolmaster.tools import Tool

PLACE = Path(__file__).with_name("library.py")
LIBRARY = f"{PLACE}:Library"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("library") / "generated"
    generate(GenerateSettings(tools=(LIBRARY,), count=60, heldout=24), made)
    return made


def rows(folder, split):
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]


def test_reads_chains_and_writes(folder):
    made = rows(folder, "train")
    assert {row["labels"]["kind"] for row in made} == {"read", "chain", "write"}
    for row in made:
        calls = [call["name"] for call in row["calls"]]
        match row["labels"]["kind"]:
            case "read":
                assert len(calls) == 1
                assert row["answer"]
            case "chain":
                assert calls == ["list_books", "get_book"]
                linked = row["calls"][1]["arguments"]["book_id"]
                assert linked not in row["query"]
                assert row["answer"] not in row["query"]
            case "write":
                assert calls == ["lend"]
                checked = {(read["name"], *read["arguments"].values()) for read in row["reads"]}
                member = row["calls"][0]["arguments"]["member"]
                book = row["calls"][0]["arguments"]["book_id"]
                assert {("list_loans", member), ("get_book", book)} <= checked


def test_held_out_tasks_have_other_calls_and_requests(folder):
    train, heldout = rows(folder, "train"), rows(folder, "heldout")
    assert not {row["query"] for row in train} & {row["query"] for row in heldout}

    def calls(made):
        return {json.dumps(row["calls"]) for row in made if row["calls"][0]["arguments"]}

    assert calls(train)
    assert calls(heldout)
    assert not calls(train) & calls(heldout)


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_the_known_calls_solve_every_task(folder, split):
    tasks = taskset(f"{folder / split}.jsonl tools={LIBRARY}")
    assert evaluate("replay", tasks, protocol="direct").success.mean == 1


def test_doing_nothing_solves_none(folder):
    tasks = taskset(f"{folder / 'heldout.jsonl'} tools={LIBRARY}")
    idle = evaluate(ScriptedPolicy(["<answer>done</answer>"]), tasks, protocol="direct")
    assert idle.success.mean == 0


def test_a_folder_is_made_once(folder):
    before = (folder / "train.jsonl").stat().st_mtime_ns
    again = generate(GenerateSettings(tools=(LIBRARY,), count=60, heldout=24), folder)
    assert again.train.stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="count: 60 -> 61"):
        generate(GenerateSettings(tools=(LIBRARY,), count=61, heldout=24), folder)


def test_tools_that_show_no_values(tmp_path):
    with pytest.raises(InputError, match=r"unlock: no call of it succeeded.*wrong word.*--known"):
        generate(GenerateSettings(tools=(f"{PLACE}:unlock",)), tmp_path / "none")


def test_known_values_are_used(tmp_path):
    source = tmp_path / "shop.py"
    source.write_text(
        "PRICES = {'qx1': 31, 'qx2': 42, 'qx3': 53, 'qx4': 64}\n"
        "def price(item: str) -> int:\n"
        '    """Get the price of an item."""\n'
        "    return PRICES[item]\n"
    )
    known = {"item": ("qx1", "qx2", "qx3", "qx4")}
    settings = GenerateSettings(tools=(f"{source}:price",), count=20, heldout=5, known=known)
    made = generate(settings, tmp_path / "generated")
    answers = {row["answer"] for row in rows(made.train.parent, "train")}
    assert len(answers) == 3
    assert answers < {"31", "42", "53", "64"}


def test_wordings_of_the_splits_differ():
    tool = Tool("get_price", "Get the price of an item.", {"type": "object"}, print)

    def said(split):
        wording = Wording(split, Random(0))
        return {wording.question(tool, {"item": "Rug"}, Fact(3)) for _ in range(60)}

    assert all('"Rug"' in question for question in said("train"))
    assert not said("train") & said("heldout")
