"""README and CONTRIBUTING do what they say: their code runs, and what they name exists."""

import dataclasses
import inspect
import re
import shlex
from contextlib import suppress
from pathlib import Path

import pytest
from cyclopts import MissingArgumentError
from trl import GRPOConfig

import toolmaster
from toolmaster.cli import app
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.world.behaviours import FAMILIES
from toolmaster.world.tasks import World

ROOT = Path(__file__).parent.parent
README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
DOCUMENTS = [README, CONTRIBUTING, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(document, language=""):
    """The fenced blocks of a language; without one, those that name none."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
    return [text for named, text in fences if named == language]


def block(document, part):
    """The one Python block in which a text stands."""
    [found] = [text for text in blocks(document, "python") if part in text]
    return found


def commands():
    """The arguments of every `toolmaster` command in a block or in line, `one|two` as two."""
    found = []
    for document in (README, CONTRIBUTING):
        lines = [line for text in blocks(document) for line in text.replace("\\\n", "").split("\n")]
        prose = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
        lines += re.findall(r"`([^`]+)`", prose)
        lines = [re.sub(r"^torchrun .* -m (?=toolmaster )", "", line) for line in lines]
        for line in lines:
            if line.startswith("toolmaster "):
                words = shlex.split(line.partition(" > ")[0], comments=True)[1:]
                either = next((w for w in words if re.fullmatch(r"\w+(\|\w+)+", w)), "")
                found += [[c if w == either else w for w in words] for c in either.split("|")]
    return found


def test_a_task_set_of_ones_own(capsys):
    exec(block(README, "class Shop"), {})
    assert capsys.readouterr().out == "1.00 [one task]\n"


def test_an_agent_with_tools_of_ones_own(capsys):
    documented = '{"name": "get_price", "arguments": {"item": "Copper Kettle"}}'
    turns = [f"<think>documented as 46</think><tool_call>{documented}</tool_call>"]
    turns += ["<think>t</think><experience>get_price: in cents</experience>"]
    turns += ["<think>t</think><answer>89.90</answer>"]
    names = {"model": ScriptedPolicy(turns)}
    exec(block(README, "tm.Agent(").replace('"openai:NAME"', "model"), names)
    assert names["result"].steps[0].observation == "4600"  # the point: it is in cents
    assert capsys.readouterr().out == "89.90 get_price: in cents\n"


def test_the_pipeline_in_python_names_what_there_is():
    text = block(README, "tm.demonstrate(")
    compile(text, str(README), "exec")
    assert set(re.findall(r"\btm\.(\w+)", text)) <= set(toolmaster.__all__)
    options = set(re.findall(r"(\w+)=", text.partition("tm.grpo(")[2].partition(")\n")[0]))
    known = set(inspect.signature(toolmaster.grpo).parameters)
    assert options - known <= {field.name for field in dataclasses.fields(GRPOConfig)}


@pytest.fixture
def shown_service(tmp_path):
    """The file of the service that CONTRIBUTING shows."""
    [text] = blocks(CONTRIBUTING, "toml")
    file = tmp_path / "kiosk.toml"
    file.write_text(text)
    return file


@pytest.fixture
def shown_behaviour(tmp_path):
    """The file of the behaviour that CONTRIBUTING shows."""
    file = tmp_path / "mine.py"
    file.write_text(block(CONTRIBUTING, "(Behaviour)"))
    return file


@pytest.mark.parametrize("level", ["full", "short"])
def test_the_service_has_tasks_of_all_families_that_the_oracle_solves(shown_service, level):
    tasks = toolmaster.taskset(f"world:{level} source={shown_service} split=train tasks=150")
    assert {task.labels["family"] for task in tasks} == set(FAMILIES)
    assert len(toolmaster.demonstrate(tasks)) >= 148


def test_the_behaviour_is_drawn_and_shown(shown_behaviour):
    line = f"world:short behaviours={shown_behaviour}:Marked families=loud split=train tasks=60"
    made = toolmaster.demonstrate(line)
    assert len(made) >= 59
    marked = [one for one in made if one.labels["behaviour"] == "marked"]
    assert any('begins with "#"' in one.experience for one in marked)


def test_every_python_block_is_run_here():
    assert [len(blocks(document, "python")) for document in (README, CONTRIBUTING)] == [3, 1]


def test_there_are_commands():
    assert len(commands()) > 15


def examples():
    """The arguments of the examples in the help of all commands."""
    pages = [app[name].help for name in app if not name.startswith("-")]
    lines = "\n".join(page or "" for page in pages).split("\n")
    return [
        shlex.split(line.partition(" > ")[0])[1:]
        for line in lines
        if line.startswith("  toolmaster ")
    ]


@pytest.mark.parametrize("words", [*commands(), *examples()], ids=" ".join)
def test_a_command_and_its_options_exist(words):
    with suppress(MissingArgumentError):  # of a command that is only named
        app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_what_a_document_names_exists(document):
    text = document.read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    files = re.findall(r"\b(?:recipes|benchmarks)/[a-z_]+\.(?:toml|py)\b", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    places = (ROOT, ROOT / "toolmaster")
    missing += [file for file in files if not any((place / file).exists() for place in places)]
    assert missing == []


def test_task_ids_can_be_drawn():
    ids = re.findall(r"\bv\d+s?/\w+/\d+(?:/\d+)?", README.read_text())
    assert ids
    for task_id in ids:
        World().draw(task_id)


def test_the_layout_is_that_of_the_package():
    [layout] = [text for text in blocks(CONTRIBUTING) if text.startswith("toolmaster/")]
    package, rest = re.split(r"\n(?=\S)", layout, maxsplit=1)
    lines = [re.split(r"  +(?=\S)", line.strip())[:-1] for line in package.split("\n")[1:]]
    named = {name.rstrip("/") for line in lines for names in line for name in names.split()}
    there = {
        path.name for path in (ROOT / "toolmaster").iterdir() if not path.name.startswith("__")
    }
    assert named == there
    for line in rest.strip().split("\n"):
        assert (ROOT / line.split()[0]).exists()
