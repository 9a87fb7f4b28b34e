"""Prepares an evaluation: its tasks, its policy, and the facts that its figures depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolmaster.errors import InputError
from toolmaster.models.checkpoints import find_model, lasting_name
from toolmaster.models.provenance import read_training
from toolmaster.policies.base import Policy
from toolmaster.policies.loading import check_model
from toolmaster.policies.names import endpoint_model, served_model
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest
from toolmaster.tasksets import Task, Taskset
from toolmaster.tasksets.replay import REPLAY, missing, replay_policy, replays_of
from toolmaster.tasksets.taskset import refuse_endless


@dataclass(frozen=True, slots=True)
class Prepared:
    """The tasks and the policy of an evaluation."""

    tasks: Taskset
    policy: str | Policy
    """An argument of `open_policy`."""
    name: str | None = None
    """The model as the user named it; None uses the name of the policy."""
    facts: dict[str, str] = field(default_factory=dict)
    """What the figures depend on besides the task set, and why tasks are left out."""
    request: Callable[[Task, int], RolloutRequest] = RolloutRequest
    """Makes the request from a task and the index of its rollout."""

    def without(self, ids: Iterable[str], why: str) -> Prepared:
        """Return the evaluation without some tasks, with a fact that says how many and why.

        Raises:
            InputError: no task is left.
        """
        gone = list(ids)
        if not gone:
            return self
        facts = {**self.facts, f"left out, {why}": f"{len(gone)} of {len(self.tasks)} tasks"}
        tasks = self.tasks.without(gone)
        if not len(tasks):
            reasons = "; ".join(f"{key}: {value}" for key, value in facts.items())
            raise InputError(f"nothing to measure in {self.tasks.label}: {reasons}")
        return replace(self, tasks=tasks, facts=facts)


def prepare(model: str | Path | Policy, tasks: Taskset, protocol: Protocol) -> Prepared:
    """Find the model and the tasks that it can be measured on.

    Args:
        model: see `evaluate`.
        tasks: the tasks to measure. Left out are tasks with neither an answer nor a check, tasks
            that the model was trained on and, for a replay, tasks without known-good calls.
        protocol: the trajectory format of a replay.

    Raises:
        ConfigError: the model is neither a name nor a policy.
        InputError: no such model; no task is left; or more than anyone would measure at once.
    """
    check_model(str(model) if isinstance(model, Path) else model)
    if not len(tasks):
        raise InputError(f"nothing to measure: {tasks.label} has no tasks")
    refuse_endless(tasks)
    name = str(model).removeprefix("hf:")
    prepared = Prepared(tasks, name if isinstance(model, str | Path) else model)
    unscored = [task.id for task in tasks if task.answer is None and task.check is None]
    prepared = prepared.without(unscored, "without an answer or a check")
    kind, _, place = name.partition(":")
    if not isinstance(model, str | Path) or endpoint_model(name) is not None:
        return prepared
    if kind == REPLAY:
        return _replay(prepared, place, protocol)
    served = served_model(name)
    if served is not None:
        from toolmaster.policies.served import served_folder  # noqa: PLC0415 - heavy

        name = served_folder(served)
    folder = find_model(name)
    lasting, training = lasting_name(folder), read_training(folder)
    facts = {} if lasting == str(folder) else {"weights": lasting}
    if training is not None and "@" in training.base:  # not a folder of this machine
        facts["trained from"] = training.base
    trained = set() if training is None else set(training.task_ids)
    policy = str(folder) if served is None else str(model)
    prepared = replace(prepared, policy=policy, name=name, facts=prepared.facts | facts)
    return prepared.without([i for i in prepared.tasks.ids if i in trained], "trained on")


def _replay(prepared: Prepared, file: str, protocol: Protocol) -> Prepared:
    replays = replays_of(prepared.tasks, Path(file) if file else None)

    def request(task: Task, rollout: int) -> RolloutRequest:
        return RolloutRequest(task, rollout, policy=replay_policy(replays[task.id], protocol))

    playing = replace(prepared, policy=ScriptedPolicy((), REPLAY), request=request)
    return playing.without(missing(prepared.tasks, replays), "without known-good calls")
