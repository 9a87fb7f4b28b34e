"""Writes the rows that toolmaster's agent loop for verl reads, `train.parquet` and `test.parquet`.

Run it in verl's environment (see grpo.sh):  python data.py RECIPE FOLDER [TASKS]
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset

from toolmaster.adapters.verl import recipe_of, tasks_of
from toolmaster.session import Session


def rows(recipe: str, line: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each task of a set.

    Args:
        recipe: name of a built-in recipe, or path of one that every node can read.
        line: the task set, such as "world:short split=train tasks=1000".
    """
    made, tasks = recipe_of(recipe), tasks_of(line)
    for index, task_id in enumerate(tasks.ids):
        prompt = Session(tasks[task_id], made.protocol, made.limits_for(tasks)).prompt()
        yield {
            "agent_name": "toolmaster",
            "data_source": tasks.label,
            "recipe": recipe,
            "tasks": line,
            "task_id": task_id,
            "prompt": [{"role": one.role, "content": one.content} for one in prompt],
            "reward_model": {"style": "rule"},  # the agent loop gives the reward
            "extra_info": {"index": index},
        }


if __name__ == "__main__":
    recipe, folder, count = sys.argv[1], Path(sys.argv[2]), int((sys.argv[3:] or ["1000"])[0])
    for split, most in (("train", count), ("test", min(count, 200))):
        line = f"{recipe_of(recipe).tasks} split={split} tasks={most}"
        Dataset.from_list(list(rows(recipe, line))).to_parquet(folder / f"{split}.parquet")
