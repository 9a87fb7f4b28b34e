"""Tokens per second of our generation engine against Transformers' continuous batching, in one run.

    python benchmarks/generate_batch.py [MODEL] [--tasks 12] [--group 4] [--turns 3] [--repeats 2]

Both sides sample from the same checkpoint, in the same dtype, after the same prompts: those of
tasks of the embedded world, `--group` rollouts each. Each rollout has `--turns` turns, and between
two of them both sides read the same observation. Ours keeps the keys and values of a rollout
between its turns and drafts tokens; `generate_batch` starts each turn with the whole conversation
and shares the blocks of equal prefixes. Time is processor time of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
import warnings
from collections.abc import Callable

from transformers import ContinuousBatchingConfig, GenerationConfig

from toolmaster.chat import ChatFormat
from toolmaster.limits import Limits
from toolmaster.models import find_model, load_model, load_tokenizer
from toolmaster.models.checkpoints import fast_dtype
from toolmaster.models.hub import SMOLLM2
from toolmaster.policies.base import Sampling
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.world.tasks import World

SAMPLING = Sampling(temperature=1.0, turn_tokens=64, context_tokens=1024, slots=48)
OBSERVATION = '{"price": 450, "stock": 12, "note": "prices are in cents"}'


def ours(model: str, prompts: list[list[int]], observation: list[int], turns: int) -> Callable:
    """Return a function that runs all rollouts with our engine and returns the tokens sampled."""
    folder = find_model(model)
    chat = ChatFormat(load_tokenizer(folder))
    policy = TransformersPolicy(load_model(folder, fast_dtype()), chat, SAMPLING)

    async def rollout(token_ids: list[int]) -> int:
        count = 0
        for _ in range(turns):
            sampled, _ = await policy.generate(token_ids, SAMPLING.turn_tokens)
            token_ids = [*token_ids, *sampled, *observation]
            count += len(sampled)
        return count

    async def run() -> int:
        return sum(await asyncio.gather(*map(rollout, prompts)))

    def timed() -> int:
        policy.load_weights(policy.model.state_dict())  # no help from the run before
        return asyncio.run(run())

    return timed


def batched(model: str, prompts: list[list[int]], observation: list[int], turns: int) -> Callable:
    """Return the same with `generate_batch`, one call a turn."""
    folder = find_model(model)
    tokenizer = load_tokenizer(folder)
    loaded = load_model(folder, fast_dtype()).eval()
    loaded.set_attn_implementation("sdpa")
    config = GenerationConfig(
        max_new_tokens=SAMPLING.turn_tokens,
        do_sample=True,
        temperature=SAMPLING.temperature,
        top_k=0,
        eos_token_id=ChatFormat(tokenizer).end_of_turn_id,
        pad_token_id=tokenizer.pad_token_id or 0,
    )
    # room for as many rollouts in flight as ours; by default half of the memory is taken
    blocks = ContinuousBatchingConfig(num_blocks=256, max_batch_tokens=1024)

    def run() -> int:
        held, count = prompts, 0
        for _ in range(turns):
            outputs = loaded.generate_batch(
                held,
                generation_config=config,
                continuous_batching_config=blocks,
                progress_bar=False,
            )
            sampled = [output.generated_tokens for output in outputs.values()]
            if len(sampled) != len(held):
                raise SystemExit(
                    f"{len(held) - len(sampled)} of {len(held)} requests got no answer"
                )
            count += sum(map(len, sampled))
            held = [[*ids, *new, *observation] for ids, new in zip(held, sampled, strict=True)]
        return count

    return run


def main() -> None:
    """Time both sides, alternating."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default=SMOLLM2)
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--group", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    world, chat = World(level="short"), ChatFormat(load_tokenizer(find_model(arguments.model)))
    prompts = []
    for number in range(arguments.tasks):
        task = world.draw(world.id_of("test_seen", number)).task
        session = Session(task, Protocol.DIRECT, Limits())
        ids = chat.prompt_ids(session.prompt(), session.tools.schemas())
        prompts += [ids] * arguments.group
    observation = [chat.end_of_turn_id, *chat.observation_ids(OBSERVATION, "tool")]
    sides = {
        name: make(arguments.model, prompts, observation, arguments.turns)
        for name, make in {"generate_batch": batched, "toolmaster": ours}.items()
    }
    sides["toolmaster"]()  # warms up: parts of the model are compiled
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(arguments.repeats):
        for name, run in sides.items():
            started, clock = time.process_time(), time.perf_counter()
            count = run()
            seconds = time.process_time() - started
            rates[name].append(count / seconds)
            waited = time.perf_counter() - clock
            print(
                f"{name:16} {count} tokens in {seconds:6.1f} s of processor time ({waited:.1f} s):"
                f" {count / seconds:.1f}/s",
                flush=True,
            )
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"toolmaster / generate_batch: {medians['toolmaster'] / medians['generate_batch']:.2f}")


if __name__ == "__main__":
    main()
