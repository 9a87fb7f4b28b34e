"""`taskset`: what a line may name, options, and errors that say what is allowed."""

import sys
import textwrap

import pytest

from toolmaster.errors import ConfigError, InputError
from toolmaster.tasksets import Task, Taskset, taskset
from toolmaster.tasksets.loading import BUILT_IN, names
from toolmaster.tools.python import find_object

SETS = """
    from toolmaster.tasksets import Task, Taskset, mix

    TASKS = [Task(f"sum/{i}", f"{i} + 1?", [], answer=i + 1) for i in range(10)]
    made = Taskset("sums", TASKS)
    number = 7

    def tasks(count: int = 5, *, easy: bool = False, kinds: list[str] = ()):
        return Taskset("easy" if easy else "sums", TASKS[:count], version=",".join(kinds) or "1")

    def listed():
        return TASKS[:3]

    def needs(file, *, words: int):
        return TASKS[:words]

    def mixed():
        half = len(TASKS) // 2
        return mix({Taskset("a", TASKS[:half]): 1, Taskset("b", TASKS[half:]): 1})

    def fails():
        return {}["key"]

    def wrong():
        return {"a": 1}
"""


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """The folder of a file `mine.py` and a package `pack`, which is the working directory."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(SETS))
    (tmp_path / "loaded_package").mkdir()
    (tmp_path / "loaded_package" / "__init__.py").write_text("")
    (tmp_path / "loaded_package" / "sums.py").write_text(textwrap.dedent(SETS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("loaded_package")]:
        del sys.modules[name]


def test_what_is_a_task_set_already():
    tasks = Taskset("a", [Task("a", "q", [])])
    assert taskset(tasks) is tasks
    assert taskset([Task("b", "q", [])]).label == "tasks (1)"
    with pytest.raises(InputError, match="it is a int; expected a Taskset, a list of Tasks"):
        taskset(3)


def test_a_mapping_is_a_mixture(sets):
    tasks = taskset({"mine.py:made split=train": 1, Taskset("b", [Task("b", "q", [])]): 1})
    assert tasks.label == "sums + b (1 + 1)"


@pytest.mark.parametrize(
    ("line", "name", "count"),
    [
        ("mine.py:made", "sums", 10),
        ("mine.py:TASKS", "mine.py:TASKS", 10),
        ("mine.py:tasks", "sums", 5),
        ("mine.py:tasks count=3 easy=true", "easy", 3),
        ("mine.py:listed", "mine.py:listed", 3),
        ("loaded_package.sums:made", "sums", 10),
        ("loaded_package.sums:tasks count=10 tasks=2", "sums", 2),
        ("  mine.py:made   tasks=4 ", "sums", 4),
        ("mine.py:made split=test", "sums", 2),
        ("mine.py:mixed", "a + b", 10),
    ],
)
def test_python(sets, line, name, count):
    tasks = taskset(line)
    assert (tasks.name, len(tasks)) == (name, count)


def test_a_changed_file_is_read_again(sets):
    assert len(taskset("mine.py:listed")) == 3
    (sets / "mine.py").write_text(textwrap.dedent(SETS).replace("[:3]", "[:10]"))
    assert len(taskset("mine.py:listed")) == 10


def test_the_split_that_is_taken_where_none_is_named():
    assert taskset("world:short", default="test").part == "test"
    assert taskset("world:short split=test_seen", default="test").part == "test_seen"
    assert taskset([Task("a", "q", [])], default="test").part == ""


def test_a_default_that_the_set_does_not_have_changes_nothing(sets):
    assert taskset("mine.py:made", default="test").part == ""
    assert taskset("mine.py:mixed").part == ""


def test_a_mixture_in_one_line(sets):
    tasks = taskset("world:short split=train weight=0.75 + mine.py:made weight=.25")
    assert tasks.facts["mixture"] == "75% world:short/train (v6s) + 25% sums (1)"
    assert sum(task_id.startswith("sum/") for task_id in tasks.ids[:40]) == 10


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nowhere", r"there is none of this name; a task set is one of .*toolhop.* \(as NAME or"),
        ("wrold", r"there is none of this name \(did you mean 'world'\?\)"),
        ("", "task set '': there is none of this name"),
        ("mine.py", "'mine.py': there is none of this name"),
        ("world:middling", "'world:middling': level: Input should be 'full', 'calls' or 'short'"),
        (
            "world:short splitt=test",
            r"no option 'splitt' \(did you mean 'split'\?\); it takes: split, tasks, weight,",
        ),
        ("world level=short levl=3", r"no option 'levl' \(did you mean 'level'\?\)"),
        ("mine.py:tasks count=many", "count: Input should be a valid integer"),
        ("mine.py:tasks zzz=1", "no option 'zzz'; it takes: split, tasks, weight, hidden, count"),
        ("mine.py:made zzz=1", "no option 'zzz'; it takes: split, tasks, weight, hidden"),
        ("mine.py:needs words=2", "it needs 'file', as in file="),
        ("mine.py:needs file=x", "it needs 'words', as in words="),
        ("world:long", "level: Input should be 'full', 'calls' or 'short'"),
        ("mine.py:made tasks=2 tasks=3", "tasks is given twice"),
        ("mine.py:made tasks=0", "tasks=0: Input should be greater than or equal to 1"),
        ("mine.py:made tasks=2.5", "tasks=2.5: Input should be a valid integer"),
        ("mine.py:made tasks=nan", "tasks=nan: Input should be a valid integer"),
        ("mine.py:made weight=inf", "weight=inf: Input should be a finite number"),
        ("mine.py:made weight=-1 + world", "weight=-1: Input should be greater than 0"),
        ("world families=plain,odd", "unknown family 'odd'; allowed: plain, "),
        ("mine.py:made split=dev", "'sums' has no split 'dev'; it has: train, test"),
    ],
)
def test_lines_that_cannot_be_understood(sets, line, said):
    with pytest.raises(ConfigError, match=said):
        taskset(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mine.py:task", "there is nothing called 'task' in it; did you mean 'tasks'"),
        ("mine.py:number", "'mine.py:number': it is a int; expected a Taskset"),
        ("mine.py:wrong", "'mine.py:wrong': it is a dict; expected a Taskset"),
        ("mine.py:fails", "'mine.py:fails': it fails: KeyError: 'key'"),
        ("other.py:tasks", "other.py: no such file"),
        ("no_such_package.x:tasks", "there is no module 'no_such_package'"),
        ("mine.py:made + mine.py:made", "the id 'sum/0' is in two sets of the mixture"),
    ],
)
def test_what_cannot_be_used(sets, line, said):
    with pytest.raises(InputError, match=said):
        taskset(line)


def test_benchmarks_say_that_they_need_a_file():
    with pytest.raises(ConfigError, match="'ftrl': it needs 'file', as in ftrl:FILE"):
        taskset("ftrl")


def test_everything_built_in_is_there():
    for name, place in BUILT_IN.items():
        assert callable(find_object(place)), name


@pytest.fixture
def installed(sets, monkeypatch):
    """A package that is installed into a folder of its own and offers task sets."""
    site = sets / "site"
    (site / "their_tasks").mkdir(parents=True)
    (site / "their_tasks" / "__init__.py").write_text(
        "from toolmaster.tasksets import Task, Taskset\n\n"
        "ready = Taskset('ready', [Task('r/1', 'q', [])])\n\n"
        "def suite(name: str = 'banking', *, hard: bool = False):\n"
        "    return Taskset(name, [Task(f'{name}/{hard}', 'q', [])])\n"
    )
    about = site / "their_tasks-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-tasks\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[toolmaster.tasksets]\nsuites = their_tasks:suite\nready = their_tasks:ready\n"
        "world = their_tasks:suite\n"
    )
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("their_tasks", None)


@pytest.mark.usefixtures("installed")
def test_an_installed_package_offers_task_sets():
    assert names()["suites"] == "their_tasks:suite"
    assert taskset("suites").ids == ("banking/False",)
    assert taskset("suites:slack hard=true").ids == ("slack/True",)
    assert taskset("ready").label == "ready (1)"
    assert taskset("world:short").name == "world:short"  # a built-in name cannot be taken
    with pytest.raises(ConfigError, match="it takes nothing after the colon"):
        taskset("ready:banking")
    with pytest.raises(ConfigError, match=r"'suites:slack': no option 'easy'; it takes: .* hard"):
        taskset("suites:slack easy=true")
    with pytest.raises(ConfigError, match=r"one of .*suites"):
        taskset("nothing")
