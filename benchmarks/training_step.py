"""Trained-sequence tokens per second of one SFT step: plain settings against ours, in one run.

    python benchmarks/training_step.py [--steps 4] [--default-allocator]

Both sides compute the same loss on the same sequences with float32 weights, under bfloat16 autocast
where the processor has it.
Plain: a padded batch, Transformers' sdpa attention, all logits. Ours: one row without padding, our
attention, logits of trained tokens, compiled blocks. Both use the tuned allocator by default.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from toolmaster.system.allocator import restart_tuned


def main(steps: int) -> None:
    """Alternate the two sides over the same batches."""
    import torch
    from trl.trainer.utils import add_fused_lm_head

    from toolmaster.chat import ChatFormat
    from toolmaster.models.checkpoints import (
        add_tag_tokens,
        fast_dtype,
        find_model,
        load_model,
        load_tokenizer,
    )
    from toolmaster.models.hub import SMOLLM2
    from toolmaster.policies.compiled import compile_blocks
    from toolmaster.training.attention import ATTENTION
    from toolmaster.training.cpu_head import use_cpu_head

    folder = find_model(SMOLLM2)
    tokenizer = load_tokenizer(folder)
    models = [load_model(folder, "float32").train() for _ in range(2)]
    for model in models:
        add_tag_tokens(model, load_tokenizer(folder))
    add_tag_tokens(models[0], tokenizer)
    plain, ours = models
    ours.set_attn_implementation(ATTENTION)
    add_fused_lm_head(ours)
    compile_blocks(ours)
    use_cpu_head(ours)
    batches = _batches(ChatFormat(tokenizer), steps + 2)

    def plain_loss(rows: list[tuple[list[int], list[int]]]) -> torch.Tensor:
        longest = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
        labels = torch.tensor([lab + [-100] * (longest - len(lab)) for _, lab in rows])
        real = torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for i, _ in rows])
        return plain(input_ids=ids, attention_mask=real, labels=labels, use_cache=False).loss

    def our_loss(rows: list[tuple[list[int], list[int]]]) -> torch.Tensor:
        ids = torch.tensor([[token for ids, _ in rows for token in ids]])
        labels = torch.tensor([[label for _, labels in rows for label in labels]])
        positions = torch.cat([torch.arange(len(ids)) for ids, _ in rows]).unsqueeze(0)
        return ours(input_ids=ids, position_ids=positions, labels=labels, fused_lm_head=True).loss

    rates: dict[str, list[float]] = {"plain": [], "toolmaster": []}
    sides: dict[str, tuple[Callable[..., torch.Tensor], torch.nn.Module]] = {
        "plain": (plain_loss, plain),
        "toolmaster": (our_loss, ours),
    }
    for index, rows in enumerate(batches):
        for name, (loss_of, model) in sides.items():
            started = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=fast_dtype() == "bfloat16"):
                loss = loss_of(rows)
            loss.backward()
            seconds = time.perf_counter() - started
            model.zero_grad()
            rate = sum(len(ids) for ids, _ in rows) / seconds
            if index >= 2:  # the first two compile and warm up
                rates[name].append(rate)
            print(f"{name:10} loss {loss.item():.4f}  {rate:6.0f} tokens/s", flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print({name: round(value) for name, value in medians.items()}, end="  ")
    print(f"ratio {medians['toolmaster'] / medians['plain']:.2f}")


def _batches(chat: object, count: int) -> list[list[tuple[list[int], list[int]]]]:
    """Batches of four demonstrations as (ids, labels)."""
    from toolmaster.teacher.demonstrations import demonstrate
    from toolmaster.training.sft import training_rows

    rows = training_rows(chat, demonstrate("world:short", count=count * 4, filter=False))  # type: ignore[arg-type]
    pairs = [(row["input_ids"], row["labels"]) for row in rows]
    return [pairs[i : i + 4] for i in range(0, len(pairs) - 3, 4)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--default-allocator", action="store_true")
    arguments = parser.parse_args()
    if not arguments.default_allocator:
        restart_tuned()
    main(arguments.steps)
