"""GRPO: well-formed rollouts for TRL, exact scores without padding, and that it learns."""

import statistics
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerCallback
from trl import GRPOTrainer
from trl.trainer.utils import add_fused_lm_head

from toolmaster import rewards
from toolmaster.errors import ConfigError, PolicyError
from toolmaster.limits import Limits
from toolmaster.models import load_model
from toolmaster.policies.base import Sampling
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.protocols import Protocol
from toolmaster.training.attention import ATTENTION
from toolmaster.training.cpu_head import use_cpu_head
from toolmaster.training.grpo import (
    Explorer,
    PackedGRPOTrainer,
    _plain_weights,
    reward_of_rollout,
    task_rows,
    train_grpo,
)
from toolmaster.training.settings import GrpoSettings
from toolmaster.types import ActionKind, Phase, Step, StopReason, Trajectory
from toolmaster.world.quirks import FAMILIES

LIMITS = Limits(invalid_turns=2, max_turns=3)
SAMPLING = Sampling(temperature=1.0, turn_tokens=8, context_tokens=1024, slots=16)
SETTINGS = {
    "steps": 2,
    "tasks_per_step": 2,
    "group_size": 4,
    "row_sequences": 4,
    "candidates": 1,
    "learning_rate": 1e-3,
    "sampling": SAMPLING,
}
adapters = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT's


def share_of_low_tokens(trajectory):
    """A bandit: the share of sampled tokens from the lower half of the vocabulary."""
    ids = [token for step in trajectory.steps for token in step.token_ids]
    return sum(token < 300 for token in ids) / len(ids) if ids else 0.0


@pytest.fixture
def bandit(monkeypatch):
    monkeypatch.setitem(rewards.REWARDS, "low_tokens", share_of_low_tokens)
    return {"low_tokens": 1.0}


@pytest.fixture
def train(tiny_folder, world, tmp_path):
    """A function: reinforce the tiny model; returns its folder, the lines and the groups."""

    def run(folder=tmp_path / "grpo", progress=None, limits=LIMITS, **settings):
        lines, trained_on = [], []
        model = train_grpo(
            tiny_folder,
            world,
            FAMILIES,
            Protocol.TRIAL,
            limits,
            GrpoSettings(**(SETTINGS | settings)),
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
def explore(load_tiny, tiny_chat, world):
    """A function: one call of an Explorer; returns its fields, groups and lines."""

    def run(prompts, policy=None, model=None, **settings):
        trained_on, lines = [], []
        policy = policy or TransformersPolicy(load_tiny(), tiny_chat, SAMPLING)
        explorer = Explorer(
            world,
            policy,
            Protocol.TRIAL,
            LIMITS,
            GrpoSettings(**(SETTINGS | settings)),
            trained_on.append,
            lambda step, values: lines.append((step, values)),
        )
        trainer = SimpleNamespace(
            model=model or load_tiny(),
            accelerator=SimpleNamespace(unwrap_model=lambda m: m, is_main_process=True),
            state=SimpleNamespace(global_step=7),
        )
        return explorer(prompts, trainer), trained_on, lines

    return run


def rollout(reward=0.0, task_id="t", steps=(), **fields):
    return Trajectory(
        task_id=task_id,
        protocol="trial",
        policy="p",
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


@pytest.fixture
def explorer(monkeypatch, tiny_chat):
    """An Explorer for rollouts that carry their reward as a label; groups of two."""
    monkeypatch.setitem(rewards.REWARDS, "label", lambda t: float(t.labels["reward"]))
    settings = GrpoSettings(tasks_per_step=2, group_size=2, row_sequences=4, rewards={"label": 2.0})
    return Explorer(None, SimpleNamespace(chat=tiny_chat), None, None, settings, None, None)


def test_rollouts_that_are_all_alike_are_refused():
    with pytest.raises(ValueError, match=r"sampling\.temperature must be above 0"):
        GrpoSettings(sampling=Sampling(temperature=0.0))


def test_the_groups_whose_rewards_vary_most_are_kept(explorer):
    by_group = [(0, 1), (5, 5), (2, 4), (3, 3), (1, 1), (1, 0.5)]
    finished = [rollout(r, f"g{i}") for i, pair in enumerate(by_group) for r in pair]
    chosen = explorer._choose(finished, rows=2)
    assert [t.task_id for t in chosen] == ["g0", "g0", "g2", "g2"]
    assert explorer._choose(finished, rows=6) == finished


def test_fields_by_hand(explorer, tiny_chat):
    end = tiny_chat.end_of_turn_id
    whole = rollout(0.25, steps=[turn([5, 6], [7, 8, 9]), turn([10, end], [11])], prompt_ids=[1, 2])
    broken = rollout(error="the device is gone")
    fields = explorer._fields([whole, broken])
    assert fields == {
        "prompt_ids": [[1, 2], [end]],
        "completion_ids": [[5, 6, 7, 8, 9, 10, end], [end]],
        "env_mask": [[1, 1, 0, 0, 0, 1, 1], [0]],
        "logprobs": None,
        "reward": [0.5, 0.0],
    }


def test_rollouts_of_a_step(explore, world, tiny_chat):
    ids = world.ids("seen", 4, FAMILIES)
    prompts = [" ".join(ids[:2])] * 4 + [" ".join(ids[2:])] * 4
    fields, trained_on, lines = explore(prompts, candidates=2)
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
        assert fields["reward"][index] == rewards.total(trajectory, GrpoSettings().rewards)
    [(step, values)] = lines
    assert step == 7
    assert (values["rollout_success"], values["rollout_broken"]) == (0.0, 0.0)
    assert values["rollout_tokens"] == pytest.approx(16, abs=8)


def test_rollouts_are_of_the_weights_that_are_trained(explore, load_tiny, tiny_chat, world):
    policy = TransformersPolicy(load_tiny(), tiny_chat, SAMPLING)
    other = load_tiny()
    with torch.no_grad():
        other.model.embed_tokens.weight += 0.01
    explore([world.ids("seen", 1, FAMILIES)[0]] * 4, policy, other)
    torch.testing.assert_close(
        policy.model.model.embed_tokens.weight, other.model.embed_tokens.weight
    )


def test_a_step_whose_rollouts_all_break_is_an_error(explore, load_tiny, tiny_chat, world):
    policy = TransformersPolicy(load_tiny(), tiny_chat, SAMPLING)

    def broken(*args, **kwargs):
        raise MemoryError("no memory left")

    policy.model.forward = broken
    with pytest.raises(PolicyError, match=r"every rollout of the step broke: MemoryError: no mem"):
        explore([world.ids("seen", 1, FAMILIES)[0]] * 4, policy)


def test_the_reward_was_given_already():
    assert reward_of_rollout(["p"], reward=[0.5], completions=["c"]) == [0.5]


def test_rows_name_candidate_tasks(world):
    settings = GrpoSettings(**(SETTINGS | {"candidates": 3}))
    rows = task_rows(world, FAMILIES, settings, seed=1)
    assert len(rows) == 2 * 2
    ids = [task_id for row in rows for task_id in row["prompt"].split()]
    assert len(ids) == len(set(ids)) == 12
    assert not set(ids) & {i for row in task_rows(world, FAMILIES, settings, seed=0)
                           for i in row["prompt"].split()}  # fmt: skip


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
    trainer._score_row = PackedGRPOTrainer._score_row.__get__(trainer)
    score = {"compute_entropy": True, "batch_size": batch_size}
    plain = GRPOTrainer._get_per_token_logps_and_entropies.__wrapped__  # without its timer
    expected = plain(trainer, theirs, ids, mask, 9, **score)
    got = PackedGRPOTrainer._get_per_token_logps_and_entropies(trainer, ours, ids, mask, 9, **score)
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


def test_two_steps(train, tiny_folder, bandit, tmp_path):
    folder, lines, trained_on = train(rewards=bandit)
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


def test_each_trajectory_counts_alike_however_long(train, bandit):
    """Advantages add up to 0, and so do losses where the policy is the one that rolled out."""
    sampling = SAMPLING.model_copy(update={"turn_tokens": 300})
    _, lines, [*groups] = train(steps=1, rewards=bandit, sampling=sampling)
    lengths = {len(t.completion_ids()[0]) for group in groups for t in group}
    assert len(lengths) > 2
    [values] = [values for _, values in lines if "loss" in values]
    assert values["grad_norm"] > 0
    rounding = torch.finfo(torch.float32).eps / values["reward_std"]  # of rewards below 1, scaled
    assert values["loss"] == pytest.approx(0, abs=rounding)  # by token it is -0.12


def test_rewards_that_do_not_vary_teach_nothing(train):
    _, lines, _ = train(steps=1, rewards={"correctness": 1.0})
    [values] = [values for _, values in lines if "loss" in values]
    assert values["grad_norm"] == 0
    assert values["frac_reward_zero_std"] == 1


def test_a_stopped_run_goes_on_from_its_checkpoint(train, tmp_path, bandit):
    folder = tmp_path / "stopped"
    settings = {"steps": 3, "save_steps": 1, "rewards": bandit, "tasks_per_step": 1}
    with pytest.raises(KeyboardInterrupt):
        train(folder, Stop(2), **settings)
    resumed, lines, trained_on = train(folder, **settings)
    assert [step for step, values in lines if "loss" in values] == [3]
    assert [t.policy for t in trained_on[0]] == ["grpo@2"] * 4
    whole = train(tmp_path / "whole", **settings)[2]
    assert trained_on[0][0].task_id == whole[2][0].task_id
    assert (resumed / "config.json").is_file()


@pytest.mark.parametrize(
    "settings",
    [
        {"beta": 0.1, "iterations": 2},
        pytest.param({"lora_rank": 4}, marks=adapters),
        pytest.param({"lora_rank": 4, "beta": 0.1, "iterations": 2}, marks=adapters),
    ],
    ids=["beta", "lora", "lora_beta"],
)
def test_variants(train, tiny_folder, bandit, settings):
    iterations = settings.get("iterations", 1)
    folder, lines, trained_on = train(
        steps=2, tasks_per_step=1, rewards=bandit, learning_rate=1e-2, **settings
    )
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
        assert kl[0] == pytest.approx(0, abs=1e-4)
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
    weights = _plain_weights(trainer)
    assert set(weights) == set(plain.state_dict())
    name = "model.layers.0.mlp.up_proj.weight"
    expected = plain.state_dict()[name] + 2.0 * (b @ a)  # lora_alpha / r = 2
    torch.testing.assert_close(weights[name], expected)
    torch.testing.assert_close(layer.base_layer.weight.data, plain.state_dict()[name])


def test_it_learns(train, bandit):
    _, lines, _ = train(
        steps=18,
        tasks_per_step=1,
        group_size=16,
        row_sequences=16,
        learning_rate=2e-2,
        limits=Limits(max_turns=1),
        rewards=bandit,
        save_steps=100,
    )
    got = [values["reward"] for _, values in lines if "loss" in values]
    assert len(got) == 18
    assert statistics.fmean(got[-2:]) > statistics.fmean(got[:2]) + 0.3


def test_groups_that_processes_cannot_share_are_refused(train, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="3 processes cannot share 2 tasks_per_step in 2 rows"):
        train()


def test_sessions_end_as_they_do_elsewhere(explore, world):
    _, [group], _ = explore([world.ids("seen", 1, FAMILIES)[0]] * 4)
    assert {t.stop_reason for t in group} <= {StopReason.INVALID_TURNS, StopReason.MAX_TURNS}
