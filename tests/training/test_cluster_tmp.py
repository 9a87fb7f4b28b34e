"""A cluster in a box: two nodes, each with a trainer and an inference server, that fail and resume.

The nodes are network namespaces of this machine, with an address each; they share a folder, as a
cluster does. Making them needs root and `ip` (package iproute2).
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from toolmaster.config import load_config
from toolmaster.pipeline.recipe import Recipe
from toolmaster.pipeline.stages import run_stage
from toolmaster.runs import read_lines, read_trajectories

pytestmark = [
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and the program ip"
    ),
]

ADDRESSES = {"tmnode1": "10.88.77.1", "tmnode2": "10.88.77.2"}
FIRST, SECOND = ADDRESSES
SERVED = "served:" + ",".join(f"http://{address}:8000" for address in ADDRESSES.values())
STEPS, GROUP = 10, 4
RECIPE = f"""
run = "{{run}}"
model = "{{model}}"
tasks = "world:short"
[demonstrate]
count = 16
[sft.trainer]
per_device_train_batch_size = 2
[limits]
max_turns = 4
[grpo]
oversample = 1
policy = "{SERVED}"
rewards = {{{{ format = 1.0, correctness = 0.0, call_cost = 0.0 }}}}
[grpo.trainer]
max_steps = {STEPS}
num_generations = {GROUP}
per_device_train_batch_size = {GROUP}
gradient_accumulation_steps = 1
save_steps = 1
[grpo.sampling]
turn_tokens = 24
context_tokens = 1024
"""


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def nodes():
    """Two namespaces with a link between them."""
    names = list(ADDRESSES)
    with ExitStack() as stack:
        for name in names:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
        ip("link", "add", "tmlink1", "netns", FIRST, "type", "veth",
           "peer", "name", "tmlink2", "netns", SECOND)  # fmt: skip
        for number, (name, address) in enumerate(ADDRESSES.items(), 1):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", f"tmlink{number}")
            for device in ("lo", f"tmlink{number}"):
                ip("-n", name, "link", "set", device, "up")
        yield names


class Cluster:
    """Starts programs on the nodes, with their output in files."""

    def __init__(self, folder):
        self.folder, self.started = folder, []

    def start(self, node, name, *command):
        number = list(ADDRESSES).index(node) + 1
        tame = {"OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
        tame |= {"SERVED_API_KEY": "secret of the test", "GLOO_SOCKET_IFNAME": f"tmlink{number}"}
        with (self.folder / f"{name}-{node}.txt").open("ab") as output:
            process = subprocess.Popen(
                ["ip", "netns", "exec", node, sys.executable, "-m", *map(str, command)],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | tame,
            )
        self.started.append(process)
        return process

    def serve(self, node, model):
        server = self.start(
            node, "server", "toolmaster", "serve-model", model, "--host", ADDRESSES[node],
            "--slots", "16", "--context-tokens", "1024",
        )  # fmt: skip
        script = f"import urllib.request as r; r.urlopen('http://{ADDRESSES[node]}:8000/health')"
        ask = ["ip", "netns", "exec", node, sys.executable, "-c", script]
        self.wait(lambda: subprocess.run(ask, check=False, capture_output=True).returncode == 0)
        return server

    def train(self, stage, recipe):
        """Start one trainer on each node."""
        place = ["--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "0"]
        place += ["--rdzv-backend", "static", "--master-addr", ADDRESSES[FIRST]]
        place += ["--master-port", "29511"]
        return [
            self.start(
                node, stage, "torch.distributed.run", *place, "--node-rank", rank,
                "-m", "toolmaster", stage, recipe,
            )
            for rank, node in enumerate(ADDRESSES)
        ]  # fmt: skip

    def finish(self, processes):
        for process in processes:
            assert process.wait(240) == 0, self.output()

    def wait(self, done, within_s=120):
        deadline = time.monotonic() + within_s
        while not done():
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.2)

    def output(self):
        return "\n".join(f"{f.name}: {f.read_text()[-2000:]}" for f in self.folder.glob("*.txt"))

    def kill(self, process):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self):
        for process in self.started:
            if process.poll() is None:
                self.kill(process)


@pytest.fixture
def cluster(nodes, tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.close()


def test_a_server_and_a_trainer_are_killed_and_nothing_is_lost_or_doubled(
    cluster, tiny_folder, tmp_path
):
    recipe, run = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text(RECIPE.format(run=run, model=tiny_folder))
    run_stage(load_config(Recipe, recipe), "demonstrate")
    cluster.finish(cluster.train("sft", recipe))
    trained = run / "sft" / "model"
    servers = {node: cluster.serve(node, trained) for node in ADDRESSES}

    def steps():
        file = run / "metrics.jsonl"
        lines = read_lines(file) if file.is_file() else []
        return [line for line in lines if line["stage"] == "grpo" and "step" in line]

    trainers = cluster.train("grpo", recipe)
    cluster.wait(steps)
    cluster.kill(servers[SECOND])  # the other one goes on alone
    cluster.wait(lambda: len(steps()) >= 2)
    assert trainers[1].poll() is None
    cluster.kill(trainers[1])
    assert trainers[0].wait(240) != 0  # the whole job fails with one of its trainers
    servers[SECOND] = cluster.serve(SECOND, trained)  # with older weights than the trainer's
    cluster.finish(cluster.train("grpo", recipe))

    rollouts = read_trajectories(run / "grpo" / "trajectories.jsonl")
    by_step = Counter(t.policy for t in rollouts)
    assert by_step == {f"grpo@{step}": 2 * GROUP for step in range(STEPS)}
    assert not [t.error for t in rollouts if t.error]
    assert {line["step"] for line in steps()} == set(range(1, STEPS + 1))
    measured = tmp_path / "measured.jsonl"
    evaluation = cluster.start(
        FIRST, "evaluate", "toolmaster", "evaluate", SERVED, "world:short split=test tasks=6",
        "--out", measured, "--sampling.turn-tokens", "24", "--sampling.context-tokens", "1024",
    )  # fmt: skip
    cluster.finish([evaluation])
    assert len({t.task_id for t in read_trajectories(measured)}) == 6
