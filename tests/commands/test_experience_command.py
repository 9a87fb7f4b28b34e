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


def test_forget(file):
    assert toolmaster("forget", "other", file=file).stdout == "forgot 1 lesson\n"
    missing = toolmaster("forget", "other", file=file)
    assert missing.returncode == 1
    assert "no lesson and no tool is called 'other'" in missing.stderr
    assert toolmaster("forget", file=file).returncode == 2
    assert toolmaster("forget", "x", "--all", file=file).returncode == 2
    assert toolmaster("forget", "--all", file=file).stdout == "forgot 1 lesson\n"
    assert ExperienceStore(file).lessons() == []


def test_a_verdict_counts_once(file):
    store = ExperienceStore(file)
    with store.edit() as lessons:
        for lesson in lessons.values():
            lesson.awaits = "2030-01-02T03:04:05 solve/1" if lesson.tool == "fetch_cost" else ""
    done = toolmaster("good", file=file)
    assert (done.returncode, "(helped: 1)" in done.stdout) == (0, True)
    again = toolmaster("bad", file=file)
    assert again.returncode == 1
    assert "the last task awaits no verdict" in again.stderr
    assert [lesson.helped for lesson in store.find("fetch_cost")] == [1]


def test_a_bad_task_drops_what_it_taught(file):
    store = ExperienceStore(file)
    with store.edit() as lessons:
        for lesson in lessons.values():
            lesson.awaits = "2030-01-02T03:04:05 solve/1"
    assert "dropped: judged wrong" in toolmaster("bad", file=file).stdout
    assert [lesson.stale for lesson in store.find("fetch_cost")] == ["judged wrong"]


def test_lessons_are_shared(file, tmp_path):
    shared, own = tmp_path / "shared.jsonl", tmp_path / "own.jsonl"
    assert toolmaster("export", shared, "--who", "B\x1b[31mob", file=file).stdout == (
        f"wrote 1 lesson to {shared}\n"
    )
    assert "exists already" in toolmaster("export", shared, file=file).stderr
    done = toolmaster("import", shared, file=own)
    assert "divide the [bold]result by 100 (by B [31mob, 20" in done.stdout
    assert done.stdout.endswith("took over 1 lesson\n")
    assert toolmaster("import", shared, file=own).stdout == "took over 0 lessons\n"
    listed = toolmaster("list", file=own).stdout
    assert "B [31mob" in listed
    assert "shop.json" not in listed
    assert "there is no file of lessons" in toolmaster("import", "none.jsonl", file=own).stderr


def test_lessons_listed_as_json_are_lines_of_the_file(file, tmp_path):
    shown = toolmaster("list", "--json", file=file).stdout
    assert {json.loads(line)["tool"] for line in shown.splitlines()} == {"fetch_cost", "other"}
    joined = tmp_path / "joined.jsonl"
    joined.write_text(shown)
    assert ExperienceStore(joined).lessons() == ExperienceStore(file).lessons()


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (("list",), 0, "no lessons in "),
        (("list", "--json"), 0, "no lessons in "),
        (("forget", "--all"), 1, "there is no experience in"),
        (("good",), 1, "there is no experience in"),
        (("export", "out.jsonl"), 1, "there is no experience in"),
    ],
)
def test_no_experience_yet(tmp_path, command, code, message):
    done = toolmaster(*command, file=tmp_path / "none.jsonl")
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert not (tmp_path / "none.jsonl").exists()


def test_a_file_that_is_no_experience(tmp_path):
    (tmp_path / "odd.jsonl").write_text("odd" * 500)
    done = toolmaster("list", file=tmp_path / "odd.jsonl")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "is not a lesson: Invalid JSON" in done.stderr
