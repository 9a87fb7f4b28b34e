"""The whole pipeline in Python: demonstrations, SFT, GRPO, evaluation.

    python examples/train_pipeline.py HuggingFaceTB/SmolLM2-135M-Instruct runs/example

A model of 135M parameters needs about a thousand demonstrations; SMALL only shows the steps.
"""

import sys
from pathlib import Path

import toolmaster as tm

SMALL = {"demonstrations": 8, "steps": 1, "tests": 4}

model, folder = sys.argv[1], Path(sys.argv[2])
tasks = tm.taskset("world:short")
demos = tm.demonstrate(tasks.split("train")[: SMALL["demonstrations"]])
sft = tm.sft(model, demos, output_dir=folder / "sft", num_train_epochs=1)


def reward(t: tm.Trajectory) -> float | None:
    """Return the task's own score minus a little for every call."""
    return None if t.error or t.score is None else t.score.value - 0.02 * min(len(t.calls()), 10)


grpo = tm.grpo(
    sft,
    tasks.split("train"),
    reward=reward,
    output_dir=folder / "grpo",
    max_steps=SMALL["steps"],
    num_generations=4,
    per_device_train_batch_size=4,
    gradient_accumulation_steps=1,
)
print(tm.evaluate(grpo, tasks.split("test")[: SMALL["tests"]]))
