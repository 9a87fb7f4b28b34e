"""The measurement, run as its docstring says, with the oracle."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from experience_kit import answered, call, make_tools, told

from toolmaster.agent import Agent
from toolmaster.experience import Experience
from toolmaster.limits import Budget, BudgetSettings
from toolmaster.policies.base import Completion
from toolmaster.teacher.acting import Acting

ROOT = Path(__file__).parents[2]


def test_calls_fall_and_success_is_back_after_a_change(tmp_path):
    out = tmp_path / "figures.json"
    script = str(ROOT / "benchmarks" / "experience.py")
    command = [sys.executable, script, "--series", "12", "--json", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment)
    found = json.loads(out.read_text())
    steady, changing = found["steady"], found["changing"]
    for side in ("store", "unjudged"):
        assert steady[side]["later_calls"] <= 0.6 * steady["none"]["later_calls"]
        assert steady[side]["later_success"] >= steady["none"]["later_success"] == 1
        assert steady[side]["calls"][0] == steady["none"]["calls"][0]
        assert steady[side]["later_checks"] > 0
    recovery = {side: {} for side in ("none", "store", "unjudged")}
    for side, of_kind in recovery.items():
        for count, kind in changing[side]["recovery"]:
            of_kind.setdefault(kind, []).append(count)
    assert {count for counts in recovery["none"].values() for count in counts} == {0}
    assert set(recovery["store"]["writes"]) == {0, 1}  # a wrong lesson fails once, and is dropped
    assert set(recovery["store"]["reads"]) == set(recovery["unjudged"]["reads"]) == {0}
    assert max(recovery["unjudged"]["writes"]) > 1  # nothing can tell without a verdict


class Capable:
    """A capable model: it tries the tool on what the documentation shows until it knows it."""

    name, instructed = "capable", True

    def conversation(self, prompt, tools):
        known = re.search(r"price: divide the result by (\d+)", prompt[-1].content)
        return Acting(self.turns(int(known[1]) if known else None))

    def turns(self, factor):
        if factor is None:
            documented = yield Completion(call(item="loaf"))
            yield Completion(call(item="loaf"))
            yield Completion(call(item="bun"))
            factor = int(documented) // 4
            yield Completion(told(f"price: divide the result by {factor}"))
        price = yield Completion(call(item="bun"))
        yield Completion(answered(str(int(price) // factor)))


def tasks(experience, *factors):
    """Calls and success of runs of one task each, while the tool has these factors."""
    found = []
    for factor in factors:
        tools = make_tools(factor=factor)
        done = Agent(Capable(), tools, experience=experience).run("What does a bun cost?")
        calls = len(done.calls())
        found.append((calls, done.answer == "2"))
    return found


def test_a_capable_model_needs_fewer_calls_and_never_errs_after_a_silent_change(store):
    factors = [100] * 5 + [10] * 5
    alone, budget = tasks(None, *factors), Budget(BudgetSettings())
    helped = tasks(Experience(store, budget=budget), *factors)
    assert all(right for _, right in alone + helped)
    later_alone = sum(calls for calls, _ in alone[1:])
    later = sum(calls for calls, _ in helped[1:]) + budget.spent().calls
    assert budget.spent().calls == 9  # each run of a task checks its lesson once
    assert later <= 0.6 * later_alone
