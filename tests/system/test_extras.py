"""A package that is missing is told in one line, which says what to install."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from toolmaster.errors import InputError, not_installed
from toolmaster.system.extras import require

ROOT = Path(__file__).parents[2]


def test_what_is_there_is_enough():
    require("train", "json", "tomllib")


def test_what_is_missing_is_told():
    with pytest.raises(
        InputError, match=r'package nothing_here.*: pip install "toolmaster\[mcp\]"'
    ):
        require("mcp", "json", "nothing_here.part")


def test_an_import_that_fails_says_which_extra_has_the_package(monkeypatch):
    extras = ["PyYAML>=6; extra == 'all'", "PyYAML>=6; extra == 'openapi'", "rich>=14"]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: extras)
    told = not_installed(ModuleNotFoundError(name="yaml.nodes"))
    assert 'package yaml, which is not installed: pip install "toolmaster[openapi]"' in str(told)
    other = ModuleNotFoundError(name="mine")
    assert not_installed(other) is other


def test_the_core_imports_nothing_of_the_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    modules = {"yaml", "mpmath", "any_llm", "openai", "anthropic"}
    for name in ("train", "mcp", "openapi"):
        modules |= {line.split(">")[0].replace("-", "_") for line in extras[name]}
    code = (
        "import sys, toolmaster as tm\n"
        "tm.Agent, tm.evaluate, tm.taskset, tm.demonstrate, tm.judge\n"
        "from toolmaster.commands import explore, experience, solving, stages\n"
        "from toolmaster.cli import main\n"
        "for words in (['run', '--help'], ['demonstrate', 'none.toml']):\n"
        "    sys.argv[:1] = ['toolmaster', *words]\n"
        "    try: main()\n"
        "    except SystemExit: pass\n"
        "print(sorted(set(sys.modules) & set(sys.argv[1:])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *modules], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
