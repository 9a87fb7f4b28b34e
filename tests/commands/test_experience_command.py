"""`toolmaster experience`, run as a user does."""

import json
import os
import subprocess
import sys

import pytest

from toolmaster.experience import ExperienceStore, Lesson


@pytest.fixture
def file(tmp_path):
    store = ExperienceStore(tmp_path / "experience.jsonl")
    lesson = Lesson(
        tool="fetch_cost",
        schema_hash="0123456789abcdef",
        text="divide the [bold]result by 100",
        arguments={"a": "[bold]x\x1b[31m"},
        observation="450",
        source="shop.json",
        when="2030-01-02T03:04:05+00:00",
        policy="someone",
    )
    store.learn(lesson)
    store.learn(lesson.model_copy(update={"tool": "other", "stale": "contradicted"}))
    return store.path


def toolmaster(*arguments, file=None, **environment):
    command = [sys.executable, "-m", "toolmaster", "experience", *map(str, arguments)]
    command += ["--store", str(file)] if file is not None else []
    usual = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"} | environment
    return subprocess.run(command, capture_output=True, text=True, check=False, env=usual)


def test_list(file):
    done = toolmaster("list", file=file)
    assert done.returncode == 0
    for word in ("fetch_cost", "shop.json", "divide the [bold]result by 100", "contradicted"):
        assert word in done.stdout


def test_a_narrow_terminal_breaks_no_id(file):
    lessons = ExperienceStore(file).lessons()
    shown = toolmaster("list", file=file, COLUMNS="60").stdout
    assert all(lesson.id in shown for lesson in lessons)
    assert shown.count("shop.json") == 1


def test_show(file):
    done = toolmaster("show", "fetch_cost", file=file)
    assert "fetch_cost: divide the [bold]result by 100" in done.stdout
    assert "learned    2030-01-02T03:04:05+00:00 by someone" in done.stdout
    assert '{"a": "[bold]x\\u001b[31m"} -> 450' in done.stdout
    assert "\x1b" not in done.stdout
    assert "stale: contradicted" in toolmaster("show", "other", file=file).stdout


def test_forget(file):
    assert toolmaster("forget", "other", file=file).stdout == "forgot 1 lesson\n"
    missing = toolmaster("forget", "other", file=file)
    assert missing.returncode == 1
    assert "no lesson and no tool is called 'other'" in missing.stderr
    assert toolmaster("forget", file=file).returncode == 2
    assert toolmaster("forget", "x", "--all", file=file).returncode == 2
    assert toolmaster("forget", "--all", file=file).stdout == "forgot 1 lesson\n"
    assert ExperienceStore(file).lessons() == []


def test_lessons_listed_as_json_can_be_imported(file, tmp_path):
    exported = tmp_path / "lessons.jsonl"
    exported.write_text(toolmaster("list", "--json", file=file).stdout)
    assert {json.loads(line)["tool"] for line in exported.read_text().splitlines()} == {
        "fetch_cost",
        "other",
    }
    exported.write_text(exported.read_text() + "nonsense\n")
    new = tmp_path / "new.jsonl"
    done = toolmaster("import", exported, TOOLMASTER_EXPERIENCE=str(new))
    assert done.stdout == "2 added, 1 left out\n"
    assert done.stderr.startswith("  line 3: Invalid JSON")
    assert len(ExperienceStore(new).lessons()) == 2


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (("list",), 0, "no lessons in "),
        (("list", "--json"), 0, "no lessons in "),
        (("show", "x"), 1, "there is no experience in"),
        (("forget", "--all"), 1, "there is no experience in"),
    ],
)
def test_no_experience_yet(tmp_path, command, code, message):
    done = toolmaster(*command, file=tmp_path / "none.jsonl")
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert not (tmp_path / "none.jsonl").exists()


def test_files_that_cannot_be_read(tmp_path, file):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("binary", "missing", "."):
        done = toolmaster("import", tmp_path / name, file=file)
        assert done.returncode == 1
        assert done.stderr.startswith("toolmaster: cannot read ")
        assert done.stderr.count(str(tmp_path)) == 1
    (tmp_path / "odd.jsonl").write_text("odd" * 500)
    done = toolmaster("list", file=tmp_path / "odd.jsonl")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "is not a lesson: Invalid JSON" in done.stderr
