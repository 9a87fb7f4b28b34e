"""`evaluate`: measure one model on one task set.

Every trajectory is written as soon as it ends, so that a stopped evaluation can be continued.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolmaster.errors import InputError, PolicyError
from toolmaster.evaluation.evaluation import Evaluation
from toolmaster.evaluation.kept import SavedSettings, save_settings
from toolmaster.evaluation.prepare import prepare
from toolmaster.limits import Limits
from toolmaster.models.provenance import made_by
from toolmaster.policies.base import Policy, RoomySampling, Sampling, ToolCallFormat
from toolmaster.policies.loading import fit_sampling, open_policy
from toolmaster.progress import bar, messages, solved_counter, tell_kept
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollouts
from toolmaster.runs import append_trajectory, read_trajectories
from toolmaster.system.plain import plain
from toolmaster.tasksets import Task, Taskset, taskset
from toolmaster.tasksets.taskset import TEST
from toolmaster.types import Trajectory

MAY_CHANGE = ("base_url", "endpoint")
"""Options of a model that may differ when a stopped evaluation is continued."""


def evaluate(model: str | Path | Policy, tasks: Any, **options: Any) -> Evaluation:
    """Measure a model on a task set; blocking version of `aevaluate`."""
    return plain(aevaluate(model, tasks, **options))


async def aevaluate(
    model: str | Path | Policy,
    tasks: Any,
    *,
    rollouts: int = 1,
    out: str | Path | None = None,
    protocol: Protocol | str = Protocol.TRIAL,
    limits: Limits | None = None,
    sampling: Sampling | None = None,
    on_finish: Callable[[Trajectory], None] | None = None,
    **model_options: Any,
) -> Evaluation:
    """Measure a model on a task set.

    Tasks that the model was trained on are left out, and so are tasks with neither an answer nor a
    check; `facts` of the result says how many. A rollout that breaks through no fault of the model
    is counted separately, and repeated if the evaluation is started again with the same `out`.

    Args:
        model: `openai:NAME`, a checkpoint folder or a model id of the Hub; a `Policy`; or "replay"
            for the tasks' own known-good calls, `replay:FILE` for those of a file.
        tasks: a task set, or anything that `taskset` opens. The test split is used if the set has
            one and no other split is named.
        rollouts: number of rollouts of each task.
        out: a JSON-lines file for the trajectories, from which a stopped evaluation continues. The
            settings are written beside it, as `NAME.settings.json`.
        protocol: the trajectory format.
        limits: limits of each session; None takes those of the task set.
        sampling: temperature and token limits; `slots` rollouts run at the same time.
        on_finish: called with each new trajectory; None shows a progress bar in a terminal.
        model_options: `base_url`, `tool_calls`, `endpoint` and `seed`, see
            `policies.loading.load_policy`.

    Returns:
        The evaluation: `success`, `value`, `parts`, `by(label)`, `pass_at(k)`; `print` shows it.

    Raises:
        ConfigError: the task set's line cannot be understood, or `out` holds rollouts that were
            made with other settings.
        InputError: there is no such model, no task is left, or a file cannot be used.
        PolicyError: all rollouts broke.
    """
    protocol = Protocol.named(protocol)
    prepared = prepare(model, taskset(tasks, default=TEST).for_evaluation(), protocol)
    measured, file = prepared.tasks, None if out is None else Path(out)
    limits = limits or measured.limits or Limits()
    sampling = sampling or RoomySampling()
    facts = {**measured.facts, **prepared.facts, **made_by()}
    if isinstance(prepared.policy, str):
        tool_calls = model_options.get("tool_calls", ToolCallFormat.AUTO)
        sampling = fit_sampling(sampling, prepared.policy, tool_calls)
    named = {} if prepared.name is None else {"name": prepared.name}
    async with open_policy(prepared.policy, sampling, **named, **model_options) as policy:
        if file is not None:
            settings = {
                **measured.facts,
                "protocol": str(protocol),
                "limits": limits.model_dump(mode="json"),
                **_model_settings(prepared.policy, sampling, model_options),
            }
            save_settings(file, SavedSettings(model=policy.name, settings=settings, facts=facts))
        trajectories = await collect(
            measured,
            policy,
            protocol,
            limits,
            file,
            rollouts=rollouts,
            concurrency=sampling.slots,
            request=prepared.request,
            on_finish=on_finish,
        )
    broken = [t.error for t in trajectories if t.error is not None]
    if len(broken) == len(trajectories):
        raise PolicyError(f"all {len(broken)} rollouts broke; the first: {broken[0]}")
    return Evaluation(trajectories, policy.name, facts)


def _model_settings(
    policy: str | Policy, sampling: Sampling, options: dict[str, Any]
) -> dict[str, Any]:
    """Return the settings of a model given by name; none for a `Policy`, which has its own."""
    if not isinstance(policy, str):
        return {}
    given = {k: str(v) for k, v in options.items() if v is not None and k not in MAY_CHANGE}
    if (endpoint := options.get("endpoint")) is not None:  # headers may hold secrets
        given |= {k: str(v) for k, v in endpoint if v and k in ("body", "reasoning_effort")}
    return {"sampling": sampling.model_dump(mode="json", exclude={"slots"}), **given}


async def collect(
    tasks: Taskset,
    policy: Policy,
    protocol: Protocol,
    limits: Limits,
    file: Path | None,
    *,
    rollouts: int = 1,
    concurrency: int,
    request: Callable[[Task, int], RolloutRequest] = RolloutRequest,
    on_finish: Callable[[Trajectory], None] | None = None,
) -> list[Trajectory]:
    """Run the rollouts that `file` does not hold yet, appending each trajectory as it ends.

    Args:
        tasks: the tasks to run.
        policy: the model that is measured.
        protocol: the trajectory format.
        limits: limits of each session.
        file: a `trajectories.jsonl`; None writes no file.
        rollouts: number of rollouts of each task.
        concurrency: the most sessions that run at the same time.
        request: makes the request from a task and the index of its rollout.
        on_finish: as in `aevaluate`.

    Returns:
        The trajectories of all tasks, in order, those of one task adjacent; those that broke, too.

    Raises:
        InputError: the file holds rollouts of another model or protocol, or the file or the tools
            of the task set cannot be used.
        PermanentPolicyError: the policy answers no request at all.
    """
    finished = _finished(file, tasks.label, policy, protocol)

    def record(trajectory: Trajectory) -> None:
        trajectory.taskset = tasks.label
        if file is not None:
            append_trajectory(file, trajectory)
        finished[trajectory.task_id, trajectory.rollout] = trajectory
        finish(trajectory)

    places = [(task_id, rollout) for task_id in tasks.ids for rollout in range(rollouts)]
    missing = [place for place in places if place not in finished]
    if file is not None:
        tell_kept(len(places) - len(missing), f"of {len(places)} rollouts", file)
    hidden = on_finish is not None or not messages().is_terminal
    title, done = f"evaluate {policy.name}", len(places) - len(missing)
    with bar(title, len(places), done, hidden=hidden) as running:
        finish = on_finish or solved_counter(running)
        async with tasks.open():
            await run_rollouts(
                (request(tasks[task_id], rollout) for task_id, rollout in missing),
                policy,
                protocol,
                limits,
                concurrency=concurrency,
                on_finish=record,
            )
    return [finished[place] for place in places]


def _finished(
    file: Path | None, label: str, policy: Policy, protocol: Protocol
) -> dict[tuple[str, int], Trajectory]:
    """Return the unbroken rollouts of a task set in a file, by task id and index."""
    recorded = read_trajectories(file) if file is not None and file.is_file() else []
    ours = (policy.name, str(protocol))
    other = next(((t.policy, t.protocol) for t in recorded if (t.policy, t.protocol) != ours), None)
    if other is not None:
        raise InputError(
            f"{file} holds rollouts of {other[0]!r} in the format {other[1]!r}, not of {ours[0]!r}"
            f" in {ours[1]!r}; give another file"
        )
    return {(t.task_id, t.rollout): t for t in recorded if t.error is None and t.taskset == label}
