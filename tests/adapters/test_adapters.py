"""A rollout of a world task through each adapter, in an environment of the other framework's own.

The frameworks cannot be installed together, nor beside the training stack. Their environments are
built once, in the cache folder.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from toolmaster.protocols import Protocol

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TASK = "v6/test/29"
NEEDED = ["jsonschema-rs>=0.30", "lazy-loader>=0.4", "pydantic>=2.12"]
"""What sessions import; the package itself is taken from this tree."""
FRAMEWORKS = {"openenv": ["openenv-core==0.3.0"], "verifiers": ["verifiers==0.4.0", "uv"]}


def environment(name):
    """The Python of a framework's environment, built where it is not there yet."""
    cache = Path(os.environ.get("TOOLMASTER_CACHE") or Path.home() / ".cache" / "toolmaster")
    folder = cache / "test-adapters" / name
    wanted = json.dumps([*FRAMEWORKS[name], *NEEDED, sys.version])
    marker = folder / "packages.json"
    python = folder / "bin" / "python"
    if not marker.exists() or marker.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [python, "-m", "pip", "install", "--quiet", *FRAMEWORKS[name], *NEEDED]
        done = subprocess.run(install, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"pip cannot install {name}: {done.stderr.strip()[-200:]}")
        marker.write_text(wanted)
    return python


def rollout(name, turns):
    """What the framework's own script prints of a rollout with these turns."""
    python = environment(name)
    script = HERE / f"{name}_rollout.py"
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [python, script, TASK],
            check=False,
            cwd=folder,
            input=json.dumps(turns),
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def oracle(demonstrate):
    return demonstrate(TASK)


@pytest.fixture(scope="module")
def credulous(oracle, demonstrate):
    """The oracle's turns with the call as it is documented: answered, but not done."""
    turns = [step.text for step in oracle.steps]
    turns[-2] = demonstrate(TASK, Protocol.DIRECT).steps[-2].text
    assert turns[-2] != oracle.steps[-2].text
    return turns


def observations(oracle):
    return [step.observation for step in oracle.steps if step.observation is not None]


def test_openenv(oracle):
    query, said, reward, done, steps = rollout("openenv", [s.text for s in oracle.steps])
    assert query == oracle.prompt[1].content
    assert said == observations(oracle)
    assert (reward, done, steps) == (2.0, True, len(oracle.steps))


def test_openenv_tells_failure_from_success(credulous):
    _, _, reward, done, _ = rollout("openenv", credulous)
    assert (reward, done) == (1.0, True)


def test_verifiers(oracle):
    said, rewards, ok = rollout("verifiers", [s.text for s in oracle.steps])
    responses = [f"<tool_response>{text}</tool_response>" for text in observations(oracle)]
    assert said == [oracle.prompt[1].content, *responses]
    assert rewards == {"format": 1.0, "correctness": 1.0}
    assert ok


def test_verifiers_tells_failure_from_success(credulous):
    _, rewards, ok = rollout("verifiers", credulous)
    assert rewards == {"format": 1.0, "correctness": 0.0}
    assert ok


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_an_adapter_is_short(name):
    assert len((ROOT / "toolmaster" / "adapters" / f"{name}.py").read_text().splitlines()) <= 60
