"""Trajectories per second: our rollout engine against TRL's own tool loop, in one run.

    python benchmarks/rollouts.py MODEL [--tasks 24] [--group 4] [--repeats 2]
        [--continuous] [--served URL]

Both sides run the same tasks with the same checkpoint and dtype, temperature and token
budget, in groups as GRPO does. TRL's side is `GRPOTrainer` with an `environment_factory` whose only
tool forwards the raw call to our session, so that both sides do the same work outside generation.
With `--continuous` a third side is TRL's loop over Transformers' continuous batching; with
`--served` one is our engine against MODEL behind an OpenAI-compatible server (vLLM's, for example).
The protocol is `direct` (calls until an answer), the only one TRL's loop can follow; MODEL should
be a checkpoint trained for it (`direct`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from toolmaster.chat import CHATML_TOOLS, ChatFormat
from toolmaster.limits import Limits
from toolmaster.models.checkpoints import fast_dtype, load_model, load_tokenizer
from toolmaster.policies.base import Sampling, ToolCallFormat
from toolmaster.policies.loading import load_policy
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import groups, run_rollouts
from toolmaster.session import Session
from toolmaster.world.tasks import World

SAMPLING = Sampling(temperature=1.0, turn_tokens=160, context_tokens=768, slots=48)
BLOCKS = {"num_blocks": 192, "max_batch_tokens": 1024}
"""Room for as many rollouts in flight as ours; by default half of the memory is taken."""
RESPONSE_TEMPLATE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "tool_calls": {
            "open": "<tool_call>",
            "close_pattern": r"</tool_call>\s*",
            "repeats": True,
            "content": "text",
            "transform": {
                "type": "function",
                "function": {"name": "act", "arguments": {"raw": "{content}"}},
            },
        },
        "content": {"close_pattern": r"<\|im_end\|>\s*", "content": "text"},
    },
}


def ours(model: Path, task_ids: list[str], group: int) -> Any:
    """A function that runs all rollouts with our engine; returns how many and how many solved."""
    world = World(level="short")
    tasks = [world.draw(task_id).task for task_id in task_ids]
    chat = ChatFormat(load_tokenizer(model))
    policy = TransformersPolicy(load_model(model, fast_dtype()), chat, SAMPLING)

    def run() -> tuple[int, int]:
        requests = groups(tasks, group)
        policy.load_weights(policy.model.state_dict())  # no help from the run before
        rollouts = run_rollouts(requests, policy, Protocol.DIRECT, Limits(), concurrency=48)
        finished = asyncio.run(rollouts)
        return len(finished), sum(t.success for t in finished)

    return run


def served(model: Path, task_ids: list[str], group: int, url: str) -> Any:
    """Our engine, MODEL generating in a server."""
    world = World(level="short")
    tasks = [world.draw(task_id).task for task_id in task_ids]

    def run() -> tuple[int, int]:
        policy = load_policy(
            f"openai:{model}", SAMPLING, base_url=url, tool_calls=ToolCallFormat.TRAINED
        )
        rollouts = run_rollouts(
            groups(tasks, group), policy, Protocol.DIRECT, Limits(), concurrency=SAMPLING.slots
        )
        finished = asyncio.run(rollouts)
        broken = [t.error for t in finished if t.error]
        if broken:
            raise SystemExit(f"{len(broken)} rollouts broke: {broken[0]}")
        return len(finished), sum(t.success for t in finished)

    return run


def trls(model: Path, task_ids: list[str], group: int, *, continuous: bool = False) -> Any:
    """The same with TRL's tool loop, over `generate` or continuous batching."""
    world = World(level="short")
    tokenizer = load_tokenizer(model)
    tokenizer.chat_template = CHATML_TOOLS
    tokenizer.response_template = RESPONSE_TEMPLATE
    sessions: list[Session] = []

    class Dispatch:
        def reset(self, task_id: str, **_: Any) -> None:
            self.session = Session(world.draw(task_id).task, Protocol.DIRECT, Limits())
            sessions.append(self.session)

        def act(self, raw: str) -> str:
            """Run one call.

            Args:
                raw: the call as JSON.
            """
            text = f"<think></think><tool_call>{raw}</tool_call>"
            return asyncio.run(self.session.step(text)).observation or ""

    prompts = []
    for task_id in task_ids:
        session = Session(world.draw(task_id).task, Protocol.DIRECT, Limits())
        chat = tokenizer.apply_chat_template(
            [m.model_dump() for m in session.prompt()],
            tools=session.tools.schemas(),
            tokenize=False,
        )
        system, user = chat.split("<|im_end|>")[:2]
        prompts.append(
            [
                {"role": "system", "content": system.split("system\n", 1)[1]},
                {"role": "user", "content": user.split("user\n", 1)[1]},
            ]
        )
    rows = [{"prompt": p, "task_id": t} for p, t in zip(prompts, task_ids, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=load_model(model, fast_dtype()),
            args=GRPOConfig(
                output_dir=folder,
                per_device_train_batch_size=len(rows) * group,
                num_generations=group,
                max_completion_length=SAMPLING.context_tokens,
                generation_kwargs={"max_new_tokens": SAMPLING.turn_tokens},
                max_tool_calling_iterations=Limits().max_turns,
                temperature=SAMPLING.temperature,
                top_k=0,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=True,
                dataloader_pin_memory=False,
                report_to="none",
                use_transformers_continuous_batching=continuous,
                transformers_continuous_batching_config=BLOCKS if continuous else None,
            ),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            environment_factory=Dispatch,
        )
    trainer._env_tools = {None: []}  # the prompt shows the task's own tools already
    inputs = [row for row in rows for _ in range(group)]

    def run() -> tuple[int, int]:
        sessions.clear()
        trainer.model.eval()
        with torch.no_grad():
            trainer._generate_and_score_completions([dict(row) for row in inputs])
        return len(inputs), 0

    return run


def main() -> None:
    """Time both sides, alternating."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--group", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--continuous", action="store_true")
    parser.add_argument("--served", metavar="URL", help="of an OpenAI-compatible server of MODEL")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    ids = [World(level="short").id_of("test_seen", number) for number in range(arguments.tasks)]
    sides = {
        "TRL tool loop": trls(arguments.model, ids, arguments.group),
        "toolmaster": ours(arguments.model, ids, arguments.group),
    }
    if arguments.continuous:
        trl = trls(arguments.model, ids, arguments.group, continuous=True)
        sides["continuous batching"] = trl
    if arguments.served:
        sides["served"] = served(arguments.model, ids, arguments.group, arguments.served)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(arguments.repeats):
        for name, run in sides.items():
            started = time.perf_counter()
            count, solved = run()
            seconds = time.perf_counter() - started
            rates[name].append(count / seconds)
            print(
                f"{name:20} {count} trajectories in {seconds:6.1f} s: {count / seconds:.2f}/s",
                flush=True,
            )
            if solved:
                print(f"{'':20} {solved} solved")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        if name != "toolmaster":
            print(f"toolmaster / {name}: {medians['toolmaster'] / rate:.2f}")


if __name__ == "__main__":
    main()
