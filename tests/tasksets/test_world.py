"""The embedded world as a task set: its splits are disjoint and what training never shows."""

import json
import re

import pytest

from toolmaster.errors import ConfigError, InputError
from toolmaster.tasksets import taskset
from toolmaster.tasksets.taskset import refuse_overlap
from toolmaster.tasksets.world import split_of
from toolmaster.teacher.demonstrations import demonstrate

KIOSK = """
name = "kiosk"
about = "papers with prices"
split = "train"

[paper]
filters = ["price max"]
[paper.fields]
title = "title; called {}"
price = "integer 1..9 euros; for {}"
daily = "boolean = true; ; Whether it comes every day"
"""
MARKED = """
from dataclasses import dataclass

from toolmaster.tools import ToolRefusal
from toolmaster.world.behaviours import Behaviour


@dataclass(frozen=True, slots=True)
class Marked(Behaviour):
    name = "marked"
    about = "A code must begin with a number sign; the error says so."

    param: str

    @classmethod
    def fitting(cls, tool, rng):
        for name, schema in tool.parameters["properties"].items():
            if schema["type"] == "string" and not {"enum", "format"} & schema.keys():
                yield cls(name)

    def family(self, tool):
        return "loud"

    def meet(self, arguments):
        if not arguments.get(self.param, "#").startswith("#"):
            raise ToolRefusal(f'"{self.param}" must begin with "#"')
        return {k: v[1:] if k == self.param else v for k, v in arguments.items()}

    def send(self, arguments):
        return {k: f"#{v}" if k == self.param else v for k, v in arguments.items()}

    @property
    def lesson(self):
        return f'{self.param} begins with "#"'
"""


@pytest.fixture(scope="module")
def short():
    return taskset("world:short")


@pytest.fixture
def kiosk(tmp_path):
    """The file of one service for training."""
    file = tmp_path / "kiosk.toml"
    file.write_text(KIOSK)
    return file


def test_names_and_versions(short):
    assert short.label == "world:short (v6s)"
    assert taskset("world").label == "world (v6)"
    assert short.split_names == ("train", "test", "test_seen")
    assert short.for_evaluation().label == "world:short/test (v6s)"
    assert short.oracle is not None


def test_ids_are_drawn_without_end(short):
    assert len(short) == 100_000_000
    assert list(short.ids[:2]) == ["v6s/train/0", "v6s/train/1"]
    assert [task.id for task in short[:8]] == list(short.ids[:8])
    assert short["v6s/train/42"].query == taskset("world:short")["v6s/train/42"].query
    assert short.shuffled(3).ids[0] != short.ids[0]


def test_every_split_says_so(short):
    services = {}
    for name in short.split_names:
        part = short.split(name)
        for task_id in [*part.ids[:40], part.ids[-1]]:
            assert split_of(task_id) == short.split_of(task_id) == name
        services[name] = {task.labels["service"] for task in part[:150]}
        assert {task.labels["split"] for task in part[:20]} == {
            "unseen" if name == "test" else "seen"
        }
    assert services["train"].isdisjoint(services["test"])
    assert services["train"] == services["test_seen"]


def test_training_never_sees_what_is_measured(short):
    for name in ("test", "test_seen"):
        refuse_overlap(short.split("train"), short.split(name))
        refuse_overlap(short.shuffled(3), short.split(name))
    with pytest.raises(InputError, match="is a task of both"):
        refuse_overlap(short, short.split("train")[:20])


def test_families():
    only = taskset("world:short families=plain,silent")
    assert only.ids[0] == "v6s.plain+silent/train/0"
    assert {task.labels["family"] for task in only[:40]} == {"plain", "silent"}
    with pytest.raises(ConfigError, match=r"unknown family 'slient' \(did you mean 'silent'"):
        taskset("world families=slient")


def test_facts():
    tasks = taskset("world source=facts")
    assert tasks.label == "world facts (v6.facts)"
    assert tasks.split_names == ("train", "test", "test_seen")
    with pytest.raises(InputError, match="no tool drawn can hide any of: irreversible"):
        taskset("world source=facts families=irreversible")  # none of them writes
    assert tasks[0].labels["service"].startswith("facts-train-")


def test_an_openapi_document(pets):
    tasks = taskset(f"world:short source={pets}")
    assert re.fullmatch("v6s.pets-[0-9a-f]{8}/train/0", tasks.ids[0])
    assert {task.labels["service"] for task in tasks[:10]} == {"pets"}


@pytest.mark.parametrize("folder", [False, True])
def test_services_of_ones_own(kiosk, folder):
    tasks = taskset(f"world:short source={kiosk.parent if folder else kiosk} families=plain")
    assert tasks.split_names == ("train", "test_seen")  # there is no service for the test split
    assert {task.labels["service"] for task in tasks[:20]} == {"kiosk"}
    assert any("price" in task.query for task in tasks[:20])
    assert re.fullmatch(r"v6s\.\w+-[0-9a-f]{8}\.plain/train/0", tasks.ids[0])


def test_ids_name_one_source(kiosk):
    """Another file or folder of the same name, or another content of it, has other ids."""
    beside = kiosk.parent / "my.com"
    beside.mkdir()
    facts = kiosk.rename(beside / "facts.toml")
    labels = {taskset(f"world source={source}").label for source in ("facts", facts, beside)}
    facts.write_text(KIOSK.replace("1..9", "2..9"))
    labels |= {taskset(f"world source={source}").label for source in (facts, beside)}
    assert len(labels) == 5
    assert sum(label.startswith("world my.com (v6.my.com-") for label in labels) == 2


def test_no_tool_fits_has_tools_of_other_services(kiosk, pets):
    for place in (kiosk, pets):
        tasks = taskset(f"world:short source={place}")[:120]
        none = [task for task in tasks if task.labels["kind"] == "no tool fits"]
        assert none
        assert all(task.make_tools().names() for task in none)


def test_one_name_belongs_to_one_service(kiosk):
    (kiosk.parent / "other.toml").write_text(KIOSK)
    with pytest.raises(InputError, match=r"other\.toml: another service .* 'kiosk'"):
        taskset(f"world source={kiosk.parent}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere.toml", None, 'no such file or folder; a source is "facts"'),
        ("notes.txt", "hello", "unknown suffix '.txt'; a source is"),
        ("empty", {}, "there is no OpenAPI document"),
        ("kiosk.toml", KIOSK.replace("split", "splt"), r"kiosk\.toml: split: Field required"),
        ("bare.json", json.dumps({"paths": {}}), "bare.json"),
        ("kiosk.toml", KIOSK.replace('"train"', '"seen"'), "split: Input should be 'train'"),
    ],
)
def test_a_source_that_cannot_be_used(tmp_path, name, content, message):
    place = tmp_path / name
    if isinstance(content, str):
        place.write_text(content)
    elif content is not None:
        place.mkdir()
    with pytest.raises(InputError, match=message):
        taskset(f"world source={place}")


def test_a_behaviour_of_ones_own(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MARKED)
    tasks = taskset(f"world:short behaviours={file}:Marked families=plain,loud")
    assert tasks.ids[0] == "v6s.plain+loud.Marked/train/0"
    drawn = [task for task in tasks[:150] if task.labels["behaviour"] == "marked"]
    assert {task.labels["family"] for task in drawn} == {"loud"}
    made = demonstrate(tasks[:150])
    assert len(made) >= 148
    assert any('begins with "#"' in one.experience for one in made)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Marked = 3", "expected a subclass of .*Behaviour"),
        (MARKED.replace("def lesson", "def other"), "expected a subclass"),
        (MARKED.replace("    about =", "    rest ="), "needs a `name` and an `about`"),
        (MARKED.replace('"marked"', '"swapped"'), "another kind named 'swapped'"),
        (MARKED.replace('"string"', '"text"'), "'marked': it fits no tool of these services"),
        (
            MARKED.replace('schema["type"]', 'schema["kind"]'),
            "'marked' on the tool .*: KeyError: 'kind'",
        ),
    ],
)
def test_what_is_no_behaviour(tmp_path, text, message):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        taskset(f"world:short behaviours={file}:Marked")
