"""The measurement, run as its docstring says, with the oracle."""

import json
import os
import subprocess
import sys
from pathlib import Path

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
    recovery = {
        side: changing[side]["failed_before_recovery"] for side in changing if side != "series"
    }
    assert recovery["none"] == [0] * 12
    assert set(recovery["store"]) == {0, 1}  # what is out of date fails once, and is dropped
    assert max(recovery["unjudged"]) > 1
