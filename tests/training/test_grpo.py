"""GRPO: well-formed rollouts for TRL, exact scores without padding, and that it learns."""

import asyncio
import json
import statistics
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerCallback
from trl import GRPOTrainer
from trl.trainer.utils import add_fused_lm_head

import toolmaster as tm
from toolmaster.errors import ConfigError, InputError, PolicyError
from toolmaster.limits import Limits
from toolmaster.models.checkpoints import load_model
from toolmaster.policies.base import Room, Sampling
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.protocols import Protocol
from toolmaster.rewards import PhaseReward, Rewards
from toolmaster.runs import append_trajectory, read_trajectories
from toolmaster.tasksets import Task, Taskset, taskset
from toolmaster.training.attention import ATTENTION
from toolmaster.training.collector import (
    RolloutCollector,
    choose,
    forget_redone,
    keep_in,
    plain_weights,
    together,
)
from toolmaster.training.cpu_head import use_cpu_head
from toolmaster.training.grpo import train_grpo
from toolmaster.training.grpo_tasks import task_rows
from toolmaster.training.grpo_trainer import (
    PackedTrainer,
    phase_advantages,
    sampled_log_probs,
    spread_over_tokens,
)
from toolmaster.training.settings import GrpoSettings
from toolmaster.types import ActionKind, Phase, Step, StopReason, Trajectory

LIMITS = Limits(invalid_turns=2, max_turns=3)
ROOM = Room(turn_tokens=8, context_tokens=1024, slots=16)
SAMPLING = Sampling(temperature=1.0, **dict(ROOM))
TRAINER = {
    "max_steps": 2,
    "num_generations": 4,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "learning_rate": 1e-3,
}
ONE_GROUP = {"gradient_accumulation_steps": 1}
adapters = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT's


def share_of_low_tokens(trajectory):
    """A bandit: the share of sampled tokens from the lower half of the vocabulary."""
    ids = [token for step in trajectory.steps for token in step.token_ids]
    return sum(token < 300 for token in ids) / len(ids) if ids else 0.0


BANDIT = Rewards({share_of_low_tokens: 1.0})
USUAL = Rewards(GrpoSettings().rewards)


@pytest.fixture
def tasks():
    return taskset("world:short").for_training()


@pytest.fixture
def train(tiny_folder, tasks, tmp_path):
    """A function: reinforce the tiny model; returns its folder, the lines and the groups."""

    def run(
        folder=tmp_path / "grpo",
        progress=None,
        rewards=USUAL,
        on=tasks,
        settings=None,
        **trainer,
    ):
        lines, trained_on = [], []
        given = {"oversample": 1, "sampling": ROOM} | (settings or {})
        model = train_grpo(
            tiny_folder,
            on,
            rewards,
            Protocol.TRIAL,
            LIMITS,
            GrpoSettings(trainer=TRAINER | trainer, **given),
            folder,
            seed=0,
            log=lambda step, values: lines.append((step, values)),
            on_group=trained_on.append,
            progress=progress,
        )
        return model, lines, trained_on

    return run


class Stop(TrainerCallback):
    """Ctrl-C before a step."""

    def __init__(self, step):
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture
def collect(load_tiny, tiny_chat, tasks):
    """A function: one call of a collector; returns its fields, groups, numbers and trainer."""
    with asyncio.Runner() as runner:

        def run(prompts, policy=None, model=None, rewards=USUAL, on=tasks):
            trained_on = []
            collector = RolloutCollector(
                runner,
                on,
                policy or TransformersPolicy(load_tiny(), tiny_chat, SAMPLING),
                Protocol.TRIAL,
                LIMITS,
                rewards,
                group_size=4,
                seed=0,
                on_group=trained_on.append,
            )
            trainer = SimpleNamespace(
                model=model or load_tiny(),
                accelerator=SimpleNamespace(unwrap_model=lambda m: m, is_main_process=True),
                state=SimpleNamespace(global_step=7),
            )
            fields = collector(list(map(json.dumps, prompts)), trainer)
            return fields, trained_on, collector.numbers, trainer

        yield run


def rollout(reward=0.0, task_id="t", steps=(), **fields):
    return Trajectory(
        task_id=task_id,
        protocol="trial",
        policy=fields.pop("policy", "p"),
        prompt=[],
        tools=[],
        steps=list(steps),
        labels={"reward": str(reward)},
        **fields,
    )


def turn(token_ids, observation_ids=()):
    return Step(
        text="t",
        phase=Phase.TRIAL,
        action=ActionKind.CALL,
        observation="o",
        token_ids=list(token_ids),
        observation_ids=list(observation_ids),
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": 0}, r"trainer: temperature must be above 0"),
        ({"num_generations": 5}, "not a multiple of num_generations = 5"),
        ({"learning_rat": 1}, "trainer: 'learning_rat' is not a field .* mean 'learning_rate'"),
    ],
)
def test_settings_that_cannot_be_trained_with(tmp_path, fields, message):
    with pytest.raises(ConfigError, match=message):
        tm.grpo("nowhere", [], output_dir=tmp_path / "new", **fields)
    assert not (tmp_path / "new").exists()


def test_the_groups_whose_rewards_vary_most_are_kept():
    by_group = [(0, 1), (5, 5), (2, 4), (3, 3), (1, 1), (1, 0.5)]
    flat = [reward for pair in by_group for reward in pair]
    assert choose(flat, 2, 2) == [0, 1, 4, 5]
    assert choose(flat, 2, 6) == list(range(12))


def test_a_rollout_without_a_reward_never_makes_its_group_preferred():
    # As zeros, the None of the first group would spread it more than the second one is.
    assert choose([2, 2, None, 2, 2, 2, 1, 2], 4, 1) == [4, 5, 6, 7]
    assert choose([None, None, None, 2, 1, 1, 1, 1], 4, 1) == [4, 5, 6, 7]


def test_phases_that_vary_count_for_the_choice():
    opposed = [PhaseReward(1, 0), PhaseReward(0, 1)]  # their totals are alike
    assert choose([0.5, 0.5, *opposed], 2, 1) == [2, 3]


def test_fields_by_hand(collect, tiny_chat):
    end = tiny_chat.end_of_turn_id
    whole = rollout(0.25, steps=[turn([5, 6], [7, 8, 9]), turn([10, end], [11])], prompt_ids=[1, 2])
    broken = rollout(error="the device is gone")
    policy = SimpleNamespace(chat=tiny_chat)
    collector = RolloutCollector.__new__(RolloutCollector)
    collector._policy = policy
    assert collector._fields([whole, broken], [0.5, None]) == {
        "prompt_ids": [[1, 2], [end]],
        "completion_ids": [[5, 6, 7, 8, 9, 10, end], [end]],
        "env_mask": [[1, 1, 0, 0, 0, 1, 1], [0]],
        "logprobs": None,
        "reward": [0.5, None],
    }


def test_rollouts_of_a_step(collect, tasks, tiny_chat):
    ids = tasks.ids[:4]
    prompts = [ids[:2]] * 4 + [ids[2:]] * 4
    fields, trained_on, values, trainer = collect(prompts)
    assert trainer.collected[0] == [t for group in trained_on for t in group]
    for group in trained_on:
        assert len({t.task_id for t in group}) == 1
        assert group[0].task_id in ids
        assert [t.rollout for t in group] == [0, 1, 2, 3]
        assert {t.policy for t in group} == {"grpo@7"}
    flat = [t for group in trained_on for t in group]
    assert len(flat) == len(prompts) == 8
    for index, trajectory in enumerate(flat):
        ids, mask = fields["completion_ids"][index], fields["env_mask"][index]
        assert len(ids) == len(mask) > 0
        sampled = [token for token, one in zip(ids, mask, strict=True) if one]
        assert sampled == [t for step in trajectory.steps for t in step.token_ids]
        assert fields["prompt_ids"][index] == tiny_chat.prompt_ids(
            trajectory.prompt, trajectory.tools
        )
        assert fields["reward"][index] == asyncio.run(USUAL.of(trajectory))
        told = [log_prob for step in trajectory.steps for log_prob in step.log_probs]
        assert len(told) == len(sampled)
        assert all(-30 < log_prob <= 0 for log_prob in told)
    assert (values["rollout_success"], values["rollout_broken"]) == (0.0, 0.0)
    assert values["rollout_tokens"] == pytest.approx(16, abs=8)


def test_rollouts_are_of_the_weights_that_are_trained(collect, load_tiny, tiny_chat, tasks):
    policy = TransformersPolicy(load_tiny(), tiny_chat, SAMPLING)
    other = load_tiny()
    with torch.no_grad():
        other.model.embed_tokens.weight += 0.01
    collect([tasks.ids[:1]] * 4, policy, other)
    torch.testing.assert_close(
        policy.model.model.embed_tokens.weight, other.model.embed_tokens.weight
    )


def test_a_step_whose_rollouts_all_break_is_an_error(collect, load_tiny, tiny_chat, tasks):
    policy = TransformersPolicy(load_tiny(), tiny_chat, SAMPLING)

    def broken(*args, **kwargs):
        raise MemoryError("no memory left")

    policy.model.forward = broken
    with pytest.raises(PolicyError, match=r"every rollout of the step broke: MemoryError: no mem"):
        collect([tasks.ids[:1]] * 4, policy)


def test_a_step_without_any_reward_is_an_error(collect):
    unscored = Taskset("none", [Task("a", "q", tools=[])])
    with pytest.raises(PolicyError, match="no rollout of the step has a reward: correctness is"):
        collect([["a"]] * 4, rewards=Rewards({"correctness": 1.0}), on=unscored)


def test_the_reward_was_given_already_and_numbers_are_logged():
    collector = RolloutCollector.__new__(RolloutCollector)
    collector.numbers, logged = {"rollout_success": 0.5}, {}
    reward = collector.reward(["p"], reward=[0.5], log_metric=logged.__setitem__, completions=["c"])
    assert (reward, logged) == ([0.5], {"rollout_success": 0.5})


def test_what_fails_in_one_process_stops_all(monkeypatch):
    def others(mine):
        return [*mine, "InputError: no disk"]

    assert together(lambda: 3) == 3
    monkeypatch.setattr("toolmaster.training.collector.gather_object", others)
    with pytest.raises(PolicyError, match="another process stopped the training: InputError: no"):
        together(lambda: 3)
    with pytest.raises(ZeroDivisionError):
        together(lambda: 1 / 0)


def test_rollouts_of_steps_that_are_done_again_are_dropped(tmp_path):
    file = tmp_path / "trajectories.jsonl"
    for step in (0, 1, 2, 2):
        keep_in(tmp_path)  # no checkpoint: nothing is kept
        append_trajectory(file, rollout(policy=f"grpo@{step}"))
    for step in (0, 1, 2):
        append_trajectory(file, rollout(policy=f"grpo@{step}"))
    forget_redone(file, tmp_path / "checkpoint-2")
    assert [t.policy for t in read_trajectories(file)] == ["grpo@0", "grpo@1"]
    forget_redone(file, None)
    assert read_trajectories(file) == []
    forget_redone(tmp_path / "none.jsonl", None)


def config(**fields):
    given = {**TRAINER, "num_iterations": 1, "num_train_epochs": 1.0, **fields}
    return SimpleNamespace(**given)


def test_rows_name_candidate_tasks(tasks):
    rows = task_rows(tasks, config(), 3, seed=1)
    assert len(rows) == 2 * 2
    ids = [task_id for row in rows for task_id in row]
    assert len(ids) == len(set(ids)) == 12
    assert not set(ids) & {i for row in task_rows(tasks, config(), 3, seed=0) for i in row}
    assert len(task_rows(tasks, config(num_iterations=2), 1, seed=0)) == 2


def test_few_tasks_begin_again_and_epochs_count_them():
    few = Taskset("few", [Task(str(i), "q", tools=[]) for i in range(3)])
    rows = task_rows(few, config(), 2, seed=0)
    flat = [task_id for row in rows for task_id in row]
    assert (len(rows), sorted(flat[:3]), flat[3:6]) == (4, ["0", "1", "2"], flat[:3])
    # Two groups a step: three tasks are one whole step and a half, made up to two.
    assert len(task_rows(few, config(max_steps=-1), 1, seed=0)) == 4
    assert len(task_rows(few, config(max_steps=-1), 2, seed=0)) == 2


def test_no_epoch_of_a_set_without_end(tasks):
    with pytest.raises(ConfigError, match="too many for num_train_epochs; give max_steps"):
        task_rows(tasks, config(max_steps=-1), 1, seed=0)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_scores_without_padding_are_those_of_trl(load_tiny, temperature, batch_size):
    theirs, ours = load_tiny(), load_tiny()
    ours.set_attn_implementation(ATTENTION)
    for model in (theirs, ours):
        add_fused_lm_head(model, temperature, outputs=("log_probs", "entropy"))
    use_cpu_head(ours, temperature=temperature, entropy=True)
    generator = torch.Generator().manual_seed(0)
    prompts, completions = (3, 11, 7), (9, 2, 5)
    ids = torch.randint(3, 600, (3, 11 + 9), generator=generator)
    mask = torch.zeros(3, 20, dtype=torch.long)
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        mask[row, 11 - prompt : 11 + completion] = 1
    ids = ids.masked_fill(mask == 0, 0)
    trainer = SimpleNamespace(accelerator=SimpleNamespace(autocast=nullcontext))
    trainer._score_row = PackedTrainer._score_row.__get__(trainer)
    score = {"compute_entropy": True, "batch_size": batch_size}
    plain = GRPOTrainer._get_per_token_logps_and_entropies.__wrapped__  # without its timer
    expected = plain(trainer, theirs, ids, mask, 9, **score)
    got = PackedTrainer._get_per_token_logps_and_entropies(trainer, ours, ids, mask, 9, **score)
    for one, two in zip(got[:2], expected[:2], strict=True):
        assert one.shape == (3, 9)
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)
    assert got[2] is None
    assert not got[0][1, 2:].any()
    weight = torch.randn(3, 9, generator=generator)
    for model, scored in ((theirs, expected), (ours, got)):
        (scored[0] * weight).sum().backward()
        assert model.model.embed_tokens.weight.grad.abs().max() > 0
    one, two = (m.model.embed_tokens.weight.grad for m in (ours, theirs))
    torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_two_steps(train, tiny_folder):
    folder, lines, trained_on = train(rewards=BANDIT)
    assert len(trained_on) == 4
    assert [t.policy for group in trained_on for t in group] == ["grpo@0"] * 8 + ["grpo@1"] * 8
    logged = {step: values for step, values in lines if "loss" in values}
    assert sorted(logged) == [1, 2]
    rolled = [values for _, values in lines if "rollout_success" in values]
    assert len(rolled) == 2
    for group, values in ((trained_on[:2], logged[1]), (trained_on[2:], logged[2])):
        scores = [share_of_low_tokens(t) for g in group for t in g]
        assert values["reward"] == pytest.approx(statistics.fmean(scores), rel=1e-4)
        assert values["grad_norm"] > 0
    trained = load_model(folder, "float32").state_dict()
    before = load_model(tiny_folder, "float32").state_dict()
    assert set(trained) == set(before)
    assert any(not torch.equal(trained[name], before[name]) for name in before)


def test_each_trajectory_counts_alike_however_long(train, monkeypatch):
    """Advantages add up to 0, and so do losses where the policy is the one that rolled out."""
    for module in ("grpo", "common"):
        monkeypatch.setattr(f"toolmaster.training.{module}.fast_dtype", lambda: "float32")
    room = ROOM.model_copy(update={"turn_tokens": 300})
    _, lines, [*groups] = train(max_steps=1, rewards=BANDIT, settings={"sampling": room})
    lengths = {len(t.completion().token_ids) for group in groups for t in group}
    assert len(lengths) > 1
    [values] = [values for _, values in lines if "loss" in values]
    assert values["grad_norm"] > 0
    assert values["loss"] == pytest.approx(0, abs=2e-5)  # by token it is -0.12


def test_rewards_that_do_not_vary_teach_nothing(train):
    _, lines, _ = train(max_steps=1, rewards=Rewards({"correctness": 1.0}))
    [values] = [values for _, values in lines if "loss" in values]
    assert values["grad_norm"] == 0
    assert values["frac_reward_zero_std"] == 1


def test_a_stopped_run_goes_on_from_its_checkpoint(train, tmp_path):
    folder = tmp_path / "stopped"
    settings = {"max_steps": 3, "save_steps": 1, "rewards": BANDIT, **ONE_GROUP}
    with pytest.raises(KeyboardInterrupt):
        train(folder, Stop(2), **settings)
    resumed, lines, trained_on = train(folder, **settings)
    assert [step for step, values in lines if "loss" in values] == [3]
    assert [t.policy for t in trained_on[0]] == ["grpo@2"] * 4
    whole = train(tmp_path / "whole", **settings)[2]
    assert trained_on[0][0].task_id == whole[2][0].task_id
    one, two = ([t.completion().token_ids for t in group] for group in (trained_on[0], whole[2]))
    assert one == two  # the sampling goes on as if nothing had happened
    assert (resumed / "config.json").is_file()


@pytest.mark.parametrize(
    "settings",
    [
        {"beta": 0.1, "num_iterations": 2},
        pytest.param({"lora_rank": 4}, marks=adapters),
        pytest.param({"lora_rank": 4, "beta": 0.1, "num_iterations": 2}, marks=adapters),
    ],
    ids=["beta", "lora", "lora_beta"],
)
def test_variants(train, tiny_folder, settings):
    fields = dict(settings)
    ours = {"lora_rank": fields.pop("lora_rank", 0)}
    iterations = fields.get("num_iterations", 1)
    fields |= {"max_steps": 2 * iterations, "learning_rate": 1e-2, **ONE_GROUP}
    folder, lines, trained_on = train(rewards=BANDIT, settings=ours, **fields)
    logged = [values for _, values in lines if "loss" in values]
    assert len(logged) == 2 * iterations
    assert len(trained_on) == 2
    assert not (folder / "adapter_config.json").exists()
    trained = load_model(folder, "float32").state_dict()
    before = load_model(tiny_folder, "float32").state_dict()
    assert set(trained) == set(before)
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(trained[name], before[name])
    if "beta" in settings:
        kl = [values["kl"] for values in logged]
        assert kl[0] == pytest.approx(0, abs=2e-5)
        assert kl[-1] > 1e-4


@adapters
def test_weights_with_adapters_are_merged_under_the_model_s_own_names(load_tiny):
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415

    plain = load_tiny()
    peft = get_peft_model(load_tiny(), LoraConfig(r=2, lora_alpha=4, target_modules="all-linear"))
    layer = peft.get_base_model().model.layers[0].mlp.up_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    with torch.no_grad():
        b.fill_(0.5)
    trainer = SimpleNamespace(
        model=peft, accelerator=SimpleNamespace(unwrap_model=lambda model: model)
    )
    weights = dict(plain_weights(trainer))
    assert set(weights) == set(plain.state_dict()) - {"lm_head.weight"}  # it is tied
    name = "model.layers.0.mlp.up_proj.weight"
    expected = plain.state_dict()[name] + 2.0 * (b @ a)  # lora_alpha / r = 2
    torch.testing.assert_close(weights[name], expected)
    torch.testing.assert_close(layer.base_layer.weight.data, plain.state_dict()[name])


def test_it_learns(train):
    _, lines, _ = train(
        max_steps=30,
        gradient_accumulation_steps=4,
        num_generations=8,
        learning_rate=1e-2,
        rewards=BANDIT,
        save_steps=100,
    )
    got = [values["reward"] for _, values in lines if "loss" in values]
    assert len(got) == 30
    assert statistics.fmean(got[-4:]) > statistics.fmean(got[:4]) + 0.1, got


def test_sessions_end_as_they_do_elsewhere(collect, tasks):
    _, [group], _, _ = collect([tasks.ids[:1]] * 4)
    assert {t.stop_reason for t in group} <= {StopReason.INVALID_TURNS, StopReason.MAX_TURNS}


def test_phase_advantages_by_hand():
    # One group of four. Trial: 1, 0, 0, 1: mean 1/2, std (n - 1) 0.57735. Execution: 2, 0, 0, 0:
    # mean 1/2, std 1.
    group = [PhaseReward(1, 2), PhaseReward(0, 0), PhaseReward(0, 0), PhaseReward(1, 0)]
    plain = phase_advantages(group, 4, "none")
    assert plain.tolist() == [[0.5, 1.5], [-0.5, -0.5], [-0.5, -0.5], [0.5, -0.5]]
    scaled = phase_advantages(group, 4, "group")
    assert scaled[0].tolist() == pytest.approx([0.5 / 0.57745, 1.5 / 1.0001], rel=1e-4)
    # A batch of two groups: the second is alike throughout. Execution: 2 and seven 0, std 0.70711.
    batch = phase_advantages([*group, *[PhaseReward(0, 0)] * 4], 4, "batch")
    assert batch[0, 1].item() == pytest.approx(1.5 / 0.70721, rel=1e-4)
    assert batch[4:].tolist() == [[0, 0]] * 4


def test_what_has_no_reward_is_outside_its_group():
    found = phase_advantages([PhaseReward(1, 3), None, 0.0, 0.5], 4, "none")
    assert found[1].tolist() == [0, 0]
    assert found[0].tolist() == pytest.approx([0.5, 3 - 3.5 / 3])
    assert found[2].tolist() == pytest.approx([-0.5, -3.5 / 3])  # a number counts for both phases


def two_phases(log_probs=(-1.0, -2.0, -0.5)):
    steps = [
        turn([5, 6], [7]).model_copy(update={"log_probs": list(log_probs[:2])}),
        Step(
            text="t",
            phase=Phase.EXECUTION,
            action=ActionKind.ANSWER,
            token_ids=[8],
            log_probs=list(log_probs[2:]),
        ),
    ]
    return rollout(steps=steps)


def test_each_token_gets_the_advantage_of_its_phase():
    spread = spread_over_tokens(torch.tensor([[0.5, -2.0]]), [two_phases()], 6)
    assert spread.tolist() == [[0.5, 0.5, 0.5, -2.0, 0.0, 0.0]]


def test_log_probs_stand_at_their_tokens():
    assert sampled_log_probs([two_phases()], 5).tolist() == [[-1.0, -2.0, 0.0, -0.5, 0.0]]
    assert sampled_log_probs([rollout(steps=[turn([5])])], 1) is None  # nobody told


def test_training_compares_with_what_was_sampled(train, monkeypatch):
    """The first ratio is exp(trained - sampled): 1 but for rounding, where both are float32."""
    seen = []
    original = PackedTrainer._compute_loss

    def spy(self, model, inputs):
        seen.append(inputs["old_per_token_logps"].clone())
        return original(self, model, inputs)

    monkeypatch.setattr(PackedTrainer, "_compute_loss", spy)
    for module in ("grpo", "common"):
        monkeypatch.setattr(f"toolmaster.training.{module}.fast_dtype", lambda: "float32")
    _, lines, groups = train(max_steps=1, rewards=BANDIT)
    [values] = [values for _, values in lines if "loss" in values]
    assert all((old < 0).any() for old in seen)
    assert values["clip_ratio/region_mean"] == 0
    told = [x for g in groups for t in g for step in t.steps for x in step.log_probs]
    assert sum(map(float, (old.sum() for old in seen))) == pytest.approx(sum(told), rel=1e-4)


def test_phases_can_be_rewarded_apart(train):
    def only_trial(trajectory):
        return PhaseReward(trial=share_of_low_tokens(trajectory))

    folder, lines, _ = train(max_steps=1, rewards=Rewards({only_trial: 1.0}))
    [values] = [values for _, values in lines if "loss" in values]
    assert values["grad_norm"] > 0
    assert (folder / "config.json").is_file()


class Shop:
    """A user's stateful class."""

    def __init__(self):
        self.orders = []

    def order(self, item: str) -> str:
        """Order one item."""
        self.orders.append(item)
        return "ordered"


def shop_tasks(tools=Shop):
    def check(trajectory, shop):
        return shop.orders == ["Oak Stool"]

    return Taskset(
        "shop",
        [
            Task("order", "Order an Oak Stool.", tools=tools, check=check),
            Task("ask", "How many orders are there?", tools=tools, answer=0),
        ],
    )


def test_a_user_trains_on_tools_of_their_own(tiny_folder, tmp_path):
    seen = []

    async def reward(trajectory):
        seen.append(trajectory)
        if trajectory.rollout == 3:
            return None
        return share_of_low_tokens(trajectory) + trajectory.score.value

    folder = tm.grpo(
        tiny_folder,
        shop_tasks(),
        reward=reward,
        output_dir=tmp_path / "shop",
        limits=LIMITS,
        sampling=ROOM,
        **TRAINER | {"max_steps": 1},
    )
    assert folder == tmp_path / "shop" / "model"
    assert len(seen) == 8
    assert {t.task_id for t in seen} == {"order", "ask"}
    kept = tm.read_trajectories(tmp_path / "shop" / "trajectories.jsonl")
    assert {t.taskset for t in kept} == {"shop (1)"}
    training = json.loads((folder / "training.json").read_text())
    assert training["task_ids"] == ["ask", "order"]
    with pytest.raises(InputError, match="trained on: 2 of 2 tasks"):
        tm.evaluate(folder, shop_tasks())


def test_tools_whose_real_state_all_would_share_are_refused(tiny_folder, tmp_path):
    def order(item: str) -> str:
        """Order one item."""
        return item

    with pytest.raises(ConfigError, match="would all use the same real tools"):
        tm.grpo(tiny_folder, shop_tasks([order]), output_dir=tmp_path, **TRAINER)


def test_training_imports_no_world():
    code = "import sys, toolmaster.training.grpo; print('toolmaster.world' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"
