"""Served rollouts against rollouts in this process, and what surrounds them, in one run.

    python benchmarks/served.py MODEL [--tasks 12] [--group 4] [--repeats 2]
    python benchmarks/served.py MODEL --only sleeping     # one server and two, 1,000 in flight

It prints:

* tokens of rollouts a second in this process and through `toolmaster serve-model`, by the clock and
  by the processor time of both processes, which other programs of the machine do not change;
* rollouts a second at one server and at two that sleep in place of computing: 5 s a turn (200
  tokens of 25 ms), 256 at a time, so that the client is what is measured and not the machine;
* seconds until a server has other weights of MODEL, from the call to the check;
* seconds a step of GRPO with a tiny random model, with `off_policy_steps` 0 and 1.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiohttp import web

from toolmaster.chat import ChatFormat
from toolmaster.limits import Limits
from toolmaster.models.checkpoints import fast_dtype, load_model, load_tokenizer
from toolmaster.policies.base import Policy, Sampling
from toolmaster.policies.names import ServedModel
from toolmaster.policies.served import ServedPolicy, load_served
from toolmaster.policies.token_server import Weights
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import groups, run_rollouts
from toolmaster.tasksets import taskset
from toolmaster.world.tasks import World

SAMPLING = Sampling(temperature=1.0, turn_tokens=48, context_tokens=1024, slots=48)
LIMITS = Limits(max_turns=3)
IN_FLIGHT, SLOTS, TURN_S = 1000, 256, 5.0


@contextmanager
def process(*command: str) -> Iterator[tuple[str, int]]:
    """Run a server; yields its address, which it prints, and its process id."""
    running = subprocess.Popen(  # noqa: S603 - our own commands
        [sys.executable, *command],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", "")},
    )
    assert running.stderr is not None
    try:
        found = next(filter(None, (re.search(r"at (http\S+?);", line) for line in running.stderr)))
        yield found[1], running.pid
    finally:
        running.kill()
        running.wait()


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_all(policy: Policy, tasks: list[Any], group: int, concurrency: int) -> tuple[int, int]:
    """Run all rollouts once; returns how many, and how many tokens they wrote."""

    async def run() -> tuple[int, int]:
        requests = groups(tasks, group)
        done = await run_rollouts(
            requests, policy, Protocol.DIRECT, LIMITS, concurrency=concurrency
        )
        broken = [t.error for t in done if t.error]
        if broken:
            raise SystemExit(f"{len(broken)} rollouts broke: {broken[0]}")
        if isinstance(policy, ServedPolicy):
            await policy.close()
        return len(done), sum(t.completion_tokens for t in done)

    return asyncio.run(run())


def compare(model: Path, count: int, group: int, repeats: int) -> None:
    """Print the ratio of served rollouts to rollouts in this process."""
    world = World(level="short")
    tasks = [world.draw(world.id_of("test_seen", number)).task for number in range(count)]
    chat = ChatFormat(load_tokenizer(model))
    here = TransformersPolicy(load_model(model, fast_dtype()), chat, SAMPLING)
    with process("-m", "toolmaster", "serve-model", str(model), "--port", "0") as (address, pid):
        there = load_served(ServedModel([address], str(model)), SAMPLING)
        clock: dict[str, list[float]] = {"in process": [], "served": []}
        processor: dict[str, list[float]] = {"in process": [], "served": []}
        for repeat in range(1 + repeats):
            for name, policy in (("in process", here), ("served", there)):
                started, used = time.perf_counter(), time.process_time() + processor_seconds(pid)
                _, tokens = run_all(policy, tasks, group, SAMPLING.slots)
                seconds = time.perf_counter() - started
                used = time.process_time() + processor_seconds(pid) - used
                if repeat:  # the first round compiles
                    clock[name].append(tokens / seconds)
                    processor[name].append(tokens / used)
                print(
                    f"{name:12} {tokens / seconds:6.1f} tokens a second,"
                    f" {tokens / used:6.1f} a second of processor time",
                    flush=True,
                )
        for about, rates in (("clock", clock), ("processor time", processor)):
            print(
                f"served / in process, {about}: {_ratio(rates['served'], rates['in process']):.2f}"
            )
        swap(there, model)


def swap(policy: ServedPolicy, model: Path) -> None:
    """Print how long a server takes for other weights of the same size."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(model, copy)
        seconds = []
        for number in range(3):
            started = time.perf_counter()
            asyncio.run(_load(policy, Weights(copy, f"swap-{number}")))
            seconds.append(time.perf_counter() - started)
    size = sum(file.stat().st_size for file in model.glob("*.safetensors")) / 2**20
    shown = ", ".join(f"{one:.2f}" for one in seconds)
    print(f"weights of {size:.0f} MiB loaded and checked: {shown} s")


async def _load(policy: ServedPolicy, weights: Weights) -> None:
    await policy.load_weights(weights)
    await policy.close()


class Sleeping:
    """A server that answers as late as a GPU would: after TURN_S, SLOTS requests at a time."""

    def __init__(self, model: Path) -> None:
        self.model = str(model)
        self.room = asyncio.Semaphore(SLOTS)
        turn = "<think>t</think><answer>4</answer>"
        self.turn = ChatFormat(load_tokenizer(model)).turn_ids(turn)

    async def complete(self, request: web.Request) -> web.Response:
        """Answer after a while."""
        await request.json()
        async with self.room:
            await asyncio.sleep(TURN_S)
        log_probs = {"token_logprobs": [-0.1] * len(self.turn)}
        choice = {"token_ids": self.turn, "stop_reason": None, "logprobs": log_probs}
        return web.json_response({"choices": [choice]})

    async def models(self, _request: web.Request) -> web.Response:
        """Say what it would serve."""
        return web.json_response({"data": [{"id": "m", "root": self.model, "owned_by": "vllm"}]})

    async def serve(self) -> None:
        """Serve until the process ends."""
        app = web.Application()
        routes = [web.get("/v1/models", self.models), web.post("/v1/completions", self.complete)]
        app.add_routes(routes)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        print(f"sleeping at {address};", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


def sleeping(model: Path, repeats: int) -> None:
    """Print the ratio of two servers to one."""
    world = World(level="short")
    tasks = [world.draw(world.id_of("test_seen", number)).task for number in range(50)]
    command = (__file__, str(model), "--only", "sleep")
    with process(*command) as (one, _), process(*command) as (two, _):
        policies = {
            count: load_served(ServedModel(addresses, str(model)), SAMPLING)
            for count, addresses in ((1, [one]), (2, [one, two]))
        }
        rates: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(repeats):
            for count, policy in policies.items():
                started = time.perf_counter()
                made, _ = run_all(policy, tasks, 2 * IN_FLIGHT // len(tasks), IN_FLIGHT)
                rate = made / (time.perf_counter() - started)
                rates[count].append(rate)
                print(f"{count} sleeping: {rate:.0f} rollouts a second", flush=True)
    print(f"two / one: {_ratio(rates[2], rates[1]):.2f}")


def steps(model: Path) -> None:
    """Print how long a step of GRPO takes, sampled in turn and a step ahead."""
    from toolmaster.rewards import Rewards
    from toolmaster.training.grpo import train_grpo
    from toolmaster.training.settings import GrpoSettings

    def reward(trajectory: Any) -> float:
        return float(sum(len(step.token_ids) for step in trajectory.steps))

    def train(address: str, ahead: int) -> float:
        ended: list[float] = []

        def log(_step: int, values: dict[str, Any]) -> None:
            if "loss" in values:
                ended.append(time.perf_counter())

        given = {"max_steps": 6, "num_generations": 4, "per_device_train_batch_size": 8}
        settings = GrpoSettings(
            trainer={**given, "gradient_accumulation_steps": 2},
            oversample=1,
            policy=f"served:{address}",
            off_policy_steps=ahead,
            sampling={"turn_tokens": 48},
        )
        with tempfile.TemporaryDirectory() as folder:
            train_grpo(
                model,
                taskset("world:short").for_training(),
                Rewards({reward: 1.0}),
                Protocol.TRIAL,
                LIMITS,
                settings,
                Path(folder),
                seed=0,
                log=log,
                on_group=lambda _group: None,
            )
        return statistics.median(b - a for a, b in pairwise(ended[1:]))

    with process("-m", "toolmaster", "serve-model", str(model), "--port", "0") as (address, _):
        seconds = {ahead: train(address, ahead) for ahead in (0, 1)}
    print(f"a step of GRPO: {seconds[0]:.2f} s, a step ahead {seconds[1]:.2f} s")


def tiny(model: Path, folder: Path) -> Path:
    """Write a random model of a tenth of the size, with the tokenizer of another."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(model)
    config.num_hidden_layers, config.hidden_size, config.intermediate_size = 4, 192, 512
    config.num_attention_heads, config.num_key_value_heads, config.head_dim = 3, 3, 64
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:4]
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    load_tokenizer(model).save_pretrained(folder)
    return folder


def _ratio(ours: list[float], others: list[float]) -> float:
    return statistics.median(ours) / statistics.median(others)


def main() -> None:
    """Measure all of it, or one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--group", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", choices=["served", "sleeping", "steps", "sleep"])
    given = parser.parse_args()
    if given.only == "sleep":
        asyncio.run(Sleeping(given.model).serve())
    parts: dict[str, Callable[[], None]] = {
        "sleeping": lambda: sleeping(given.model, given.repeats),
        "served": lambda: compare(given.model, given.tasks, given.group, given.repeats),
        "steps": lambda: _with_tiny(given.model),
    }
    for name, part in parts.items():
        if given.only in (None, name):
            part()


def _with_tiny(model: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        steps(tiny(model, Path(folder)))


if __name__ == "__main__":
    main()
