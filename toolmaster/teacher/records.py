"""What a folder of demonstrations keeps: attempts and answers as they arrive, results at the end.

candidates.jsonl    every trajectory, as it ends
paid.jsonl          every answer of an endpoint
verdicts.jsonl      those of the judge
trajectories.jsonl  the demonstrations kept; written anew at the end of every run
left_out.jsonl      the other tasks and trajectories, each with the reason
tasks.jsonl         tasks without an answer of their own on which all answers agreed, with it
dataset/            the demonstrations as a Hugging Face dataset
"""

from __future__ import annotations

import shutil
from pathlib import Path

from toolmaster.runs import append_line, append_trajectory, read_models, write_records
from toolmaster.tasksets import Task
from toolmaster.teacher.choosing import Choice
from toolmaster.teacher.dataset import write_dataset
from toolmaster.teacher.paid import Paid
from toolmaster.types import Record, Trajectory

VERDICTS = "verdicts.jsonl"
NOT_SHOWN = "the oracle gives no demonstration of it"


class LeftOut(Record):
    """A line of `left_out.jsonl`."""

    task_id: str
    rollout: int
    reason: str


class Records:
    """The attempts in a folder, those of earlier runs included.

    A task that asks for something else than before is another task, whatever its id.

    Args:
        folder: where the files are.

    Raises:
        InputError: a file that is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paid = Paid(folder / "paid.jsonl")
        held = read_models(folder / "candidates.jsonl", Trajectory)
        self._finished = {(t.task_id, t.query, t.rollout): t for t in held if t.error is None}
        left_out = read_models(folder / "left_out.jsonl", LeftOut)
        self.given_up = {t.task_id: t.reason for t in left_out if t.reason == NOT_SHOWN}
        """Task id to the reason why there is no trajectory at all. An oracle's "no" is final; what
        else gave none is tried again by the next call."""

    def __len__(self) -> int:
        return len(self._finished)

    def find(self, task: Task, rollout: int) -> Trajectory | None:
        """Return a finished rollout of a task; None where there is none."""
        return self._finished.get((task.id, task.query, rollout))

    def of(self, task: Task, rollouts: int) -> list[Trajectory]:
        """Return the finished rollouts of a task, at most `rollouts`."""
        found = (self.find(task, rollout) for rollout in range(rollouts))
        return [trajectory for trajectory in found if trajectory is not None]

    def add(self, trajectory: Trajectory) -> None:
        """Keep a trajectory; one that broke is kept too, but is not finished."""
        append_trajectory(self.folder / "candidates.jsonl", trajectory)
        if trajectory.error is None:
            place = (trajectory.task_id, trajectory.query, trajectory.rollout)
            self._finished[place] = trajectory

    def give_up(self, task: Task, reason: str) -> None:
        """Keep the reason why a task has no demonstration: it is not tried again."""
        line = LeftOut(task_id=task.id, rollout=0, reason=reason)
        append_line(self.folder / "left_out.jsonl", line.model_dump())
        self.given_up[task.id] = reason

    def write(self, choice: Choice) -> None:
        """Write what was chosen of the finished rollouts."""
        left_out = [
            LeftOut(task_id=task_id, rollout=0, reason=reason)
            for task_id, reason in self.given_up.items()
        ]
        left_out += [
            LeftOut(task_id=t.task_id, rollout=t.rollout, reason=reason)
            for t, reason in choice.left_out
        ]
        write_records(self.folder / "trajectories.jsonl", choice.kept)
        write_records(self.folder / "left_out.jsonl", left_out)
        if choice.agreed:
            write_records(self.folder / "tasks.jsonl", choice.agreed)
        if choice.kept:
            write_dataset(choice.kept, self.folder / "dataset")
        else:
            shutil.rmtree(self.folder / "dataset", ignore_errors=True)
