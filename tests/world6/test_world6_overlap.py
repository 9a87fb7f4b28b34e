"""Training shares no tool name and no eight words in a row with public benchmarks."""

import json
import re
from pathlib import Path

import pytest

from toolmaster.world6.facts import Facts
from toolmaster.world6.tasks import World

COUNT = 150
LENGTH = 8


def bare(name):
    return re.sub(r"[^a-z0-9]", "", name.lower())


def grams(text):
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {tuple(words[i : i + LENGTH]) for i in range(len(words) - LENGTH + 1)}


@pytest.fixture(scope="module")
def benchmark():
    """Tool names and runs of words of every case of BFCL."""
    package = pytest.importorskip("bfcl_eval", reason="the extra `benchmarks` is not installed")
    names, runs = set(), set()
    files = sorted((Path(package.__file__).parent / "data").glob("BFCL_v4_*.json"))
    for file in files:
        if "format" in file.name:  # no cases
            continue
        for row in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            functions = [f for f in row.get("function") or [] if isinstance(f, dict)]
            names |= {bare(f["name"].rpartition(".")[2]) for f in functions}
            names |= {bare(f["name"]) for f in functions}
            for message in [m for turn in row["question"] for m in turn]:
                runs |= grams(message["content"])
    assert len(names) > 1000
    return names, runs


@pytest.mark.parametrize("source", ["services", "facts"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_nothing_is_shared(benchmark, source, split):
    names, runs = benchmark
    world = World(Facts(), documents="facts") if source == "facts" else World()
    for number in range(COUNT):
        drawn = world.draw(world.id_of(split, number))
        assert not {bare(view.name) for view in drawn.views} & names
        assert not set().union(*(grams(turn.request) for turn in drawn.goal.turns)) & runs
