"""GRPO with rollouts of servers, which get the weights of each step from a folder."""

import asyncio
import json
import shutil
import threading
from types import SimpleNamespace

import pytest
import torch
from model_servers import free_port, process, serving
from pydantic import ValidationError

from toolmaster.errors import ConfigError, InputError, PermanentPolicyError
from toolmaster.limits import Limits
from toolmaster.models.checkpoints import load_model
from toolmaster.policies.base import Room, Sampling
from toolmaster.policies.served import ServedPolicy
from toolmaster.policies.token_server import TokenServer
from toolmaster.protocols import Protocol
from toolmaster.rewards import Rewards
from toolmaster.tasksets import taskset
from toolmaster.training.grpo import train_grpo
from toolmaster.training.publisher import Publisher
from toolmaster.training.settings import GrpoSettings
from toolmaster.training.step_ahead import StepAhead
from toolmaster.types import Message

SMALL = Room(turn_tokens=8, context_tokens=1024, slots=16)
TRAINER = {
    "max_steps": 3,
    "num_generations": 4,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "learning_rate": 1e-2,
}
adapters = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT's


@pytest.fixture(autouse=True)
def _float32(monkeypatch):
    for module in ("grpo", "common", "publisher"):
        monkeypatch.setattr(f"toolmaster.training.{module}.fast_dtype", lambda: "float32")


def share_of_low_tokens(trajectory):
    """A bandit: the share of sampled tokens from the lower half of the vocabulary."""
    ids = [token for step in trajectory.steps for token in step.token_ids]
    return sum(token < 300 for token in ids) / len(ids) if ids else 0.0


@pytest.fixture
def train(tiny_folder, tmp_path):
    """A function: reinforce the tiny model; returns its folder, the lines and the groups."""

    def run(*urls, settings=None, folder=tmp_path / "grpo", on_group=None, **trainer):
        lines, groups = [], []
        served = {"policy": f"served:{','.join(urls)}"} if urls else {}
        given = {"oversample": 1, "sampling": SMALL, **served, **(settings or {})}
        model = train_grpo(
            tiny_folder,
            taskset("world:short").for_training(),
            Rewards({share_of_low_tokens: 1.0}),
            Protocol.TRIAL,
            Limits(invalid_turns=2, max_turns=3),
            GrpoSettings(trainer=TRAINER | trainer, **given),
            folder,
            seed=0,
            log=lambda step, values: lines.append((step, values)),
            on_group=on_group or groups.append,
        )
        return model, [values for _, values in lines if "loss" in values], groups

    return run


def held(server):
    return server._policy.model.state_dict()


def recording(server):
    """The weights' version and a weight of the model at each request."""
    seen = []
    generate = server.engine.generate

    async def recorded(*arguments):
        value = held(server)["model.layers.0.mlp.up_proj.weight"][0, 0].item()
        seen.append((server.weights, value))
        return await generate(*arguments)

    server.engine.generate = recorded
    return seen


def test_each_step_is_sampled_with_its_weights(train, tiny_folder, tmp_path):
    with serving(tiny_folder) as one, serving(tiny_folder) as two:
        seen = recording(one), recording(two)
        model, lines, groups = train(one.url, two.url)
        trained = load_model(model, "float32").state_dict()
        for server in (one, two):  # at the end they hold what was trained
            assert all(torch.equal(held(server)[name], trained[name]) for name in trained)
    assert len(lines) == 3
    for requests in seen:
        by_version = dict(requests)
        assert [version[:6] for version in by_version] == ["step-0", "step-1", "step-2"]
        assert len(set(by_version.values())) == 3
        assert len(set(requests)) == 3
    assert not (tmp_path / "grpo" / "weights").exists()
    for group in groups:
        for trajectory in group:
            sampled = [t for step in trajectory.steps for t in step.token_ids]
            log_probs = [p for step in trajectory.steps for p in step.log_probs]
            assert len(log_probs) == len(sampled) > 0


@adapters
def test_adapters_are_loaded_as_adapters(train, tiny_folder):
    with serving(tiny_folder) as server:
        paths = []
        merge = server._load

        def loaded(weights, folder):
            paths.append(sorted(file.name for file in folder.iterdir()))
            merge(weights, folder)

        server._load = loaded
        model, lines, _ = train(server.url, settings={"lora_rank": 2})
        trained = load_model(model, "float32").state_dict()
        assert all(torch.allclose(held(server)[name], trained[name], atol=1e-6) for name in trained)
    assert len(lines) == 3
    steps = [names for names in paths if "adapter_config.json" in names]
    assert len(steps) == 3
    assert all("model.safetensors" not in names for names in steps)


def test_a_step_ahead_is_one_step_old_and_corrected(train, tiny_folder):
    with serving(tiny_folder) as server:
        seen = recording(server)
        _, lines, groups = train(server.url, settings={"off_policy_steps": 1}, max_steps=4)
    assert len(lines) == 4
    assert [group[0].policy for group in groups] == ["grpo@0", "grpo@1", "grpo@2", "grpo@3"]
    versions = [version[:6] for version, _ in dict.fromkeys(seen)]
    assert versions == ["step-0", "step-1", "step-2"]  # step 3 is sampled with those of step 2
    ratios = [values["sampling/importance_sampling_ratio/mean"] for values in lines]
    assert ratios[0] == pytest.approx(1, abs=1e-3)  # the first step is not ahead
    assert all(abs(ratio - 1) > 1e-3 for ratio in ratios[1:])
    tasks = [group[0].task_id for group in groups]
    assert len(set(tasks)) == 4


def test_it_samples_while_it_trains(train, tiny_folder, monkeypatch):
    """A step of the training does not end before rollouts of the next one have begun."""
    from toolmaster.training.grpo_trainer import RolloutTrainer  # noqa: PLC0415

    begun = threading.Event()
    compute = RolloutTrainer._compute_loss
    with serving(tiny_folder) as server:
        generate = server.engine.generate
        waited = []

        async def noticed(*arguments):
            begun.set()
            return await generate(*arguments)

        def loss(self, *arguments, **named):
            if self.state.global_step == 1:
                waited.append(begun.wait(60))
            return compute(self, *arguments, **named)

        def on_group(group):
            begun.clear()  # the rollouts of this step have ended

        server.engine.generate = noticed
        monkeypatch.setattr(RolloutTrainer, "_compute_loss", loss)
        train(server.url, settings={"off_policy_steps": 1}, on_group=on_group)
    assert waited == [True]


def test_stopped_in_the_middle_of_a_step_ahead(train, tiny_folder):
    with serving(tiny_folder) as server:
        calls = []

        def on_group(group):
            calls.append(group)
            if len(calls) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(server.url, settings={"off_policy_steps": 1}, on_group=on_group)
    assert threading.active_count() < 20


def test_rows_of_the_next_step_by_hand():
    rows = [f"r{number}" for number in range(6)]
    ahead = StepAhead(rows, 1)
    ahead.start(["r0", "r1"], 0, lambda rows: rows)
    assert ahead.take(["r2", "r3"]) == ["r2", "r3"]
    assert ahead.take(["r2", "r3"]) is None
    ahead.start(["r2", "r3"], 1, lambda rows: rows)
    assert ahead.take(["r0", "r1"]) is None  # not what was begun
    ahead.start(["r4", "r5"], 2, lambda rows: rows)
    assert ahead.take(["r4", "r5"]) is None  # there is no further step
    ahead.close(lambda: None)
    twice = StepAhead(["a", "a", "b", "c"], 2)
    twice.start(["a", "a"], 1, lambda rows: rows)  # two optimizer steps on the same rollouts
    assert twice.take(["b", "c"]) == ["b", "c"]
    twice.close(lambda: None)


def test_what_fails_ahead_is_raised_in_its_step():
    ahead = StepAhead(["a", "b"], 1)
    ahead.start(["a"], 0, lambda rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ahead.take(["b"])
    ahead.close(lambda: None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"off_policy_steps": 1}, "off_policy_steps needs policy"),
        ({"policy": "openai:m"}, "policy is served:ADDRESS"),
        ({"policy": "served:http://a", "off_policy_steps": 2}, "less than or equal to 1"),
        ({"policy": "served:nowhere"}, "a served model is served:ADDRESS"),
    ],
)
def test_settings_that_do_not_go_together(given, message):
    with pytest.raises((ValidationError, ConfigError), match=message):
        GrpoSettings(**given)


@pytest.fixture
def published(tiny_folder, load_tiny, tiny_chat, tmp_path):
    """A function: publish the tiny model, changed by a number, to these servers."""
    with asyncio.Runner() as runner:

        def make(*urls, wait_s=0.2):
            servers = [TokenServer(url) for url in urls]
            policy = ServedPolicy(servers, tiny_chat, Sampling(turn_tokens=8), wait_s=wait_s)
            runner.run(policy.join())
            publisher = Publisher(runner, policy, tmp_path / "weights")

            def publish(step, by):
                model = load_tiny()
                with torch.no_grad():
                    for weight in model.parameters():
                        weight.add_(by)
                trainer = SimpleNamespace(
                    model=model, accelerator=SimpleNamespace(unwrap_model=lambda m: m)
                )
                publisher.publish(trainer, step)
                return model.state_dict()

            return policy, publish, runner

        yield make


def test_a_server_that_restarted_gets_the_present_weights(published, tiny_folder, capsys):
    """Two processes, one killed in the middle: nothing is sampled with its first weights."""
    port = free_port()
    with process(tiny_folder) as stays:
        with process(tiny_folder, port) as dies:
            policy, publish, runner = published(stays.url, dies.url, wait_s=60)
            publish(0, 0.1)
            assert len(policy.live) == 2
        publish(1, 0.2)
        assert [server.address for server in policy.live] == [stays.url]
        with process(tiny_folder, port) as again:
            runner.run(look_until(policy, 2))
            publish_now = policy.weights
            for server in policy.live:
                assert runner.run(server.version(publish_now)) == publish_now.version
            assert again.url in {server.address for server in policy.live}
            runner.run(policy.close())
    told = " ".join(capsys.readouterr().err.split())
    assert f"left out until it answers again: the server at {dies.url}" in told
    assert f"the server at {again.url} is back" in told


async def look_until(policy, count):
    while len(policy.live) < count:
        await policy.choose()
        await asyncio.sleep(0.05)


def test_other_weights_in_the_middle_are_noticed(published, tiny_folder, tiny_chat):
    """As after a restart between two requests: the answer is thrown away and asked for again."""
    with serving(tiny_folder) as server:
        policy, publish, runner = published(server.url, wait_s=10)
        publish(0, 0.1)
        version, server.weights = server.weights, "default"

        async def go():
            conversation = policy.conversation([Message(role="user", content="q")], [])
            return await conversation.complete()

        assert runner.run(go()).token_ids
        assert server.weights == version
        runner.run(policy.close())


def test_nothing_half_written_counts_as_whole(published, tiny_folder, tmp_path, monkeypatch):
    with serving(tiny_folder) as server:
        policy, publish, runner = published(server.url)
        state = publish(0, 0.1)

        def full(self, folder, **_):
            (folder / "model.safetensors").write_bytes(b"half")
            raise OSError(28, "No space left on device")

        from transformers import PreTrainedModel  # noqa: PLC0415

        monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
        with pytest.raises(InputError, match=r"no space left for the weights in .*weights"):
            publish(1, 0.2)
        assert all(torch.equal(held(server)[name], state[name]) for name in state)
        [kept] = (tmp_path / "weights").iterdir()
        assert kept.name == policy.weights.version
        runner.run(policy.close())


def test_weights_that_do_not_fit_are_refused_by_name(published, tiny_folder, tmp_path):
    small = tmp_path / "small"
    shutil.copytree(tiny_folder, small)
    config = json.loads((small / "config.json").read_text()) | {"num_hidden_layers": 1}
    (small / "config.json").write_text(json.dumps(config))
    with serving(small) as other:
        policy, publish, runner = published(other.url)
        with pytest.raises(InputError, match="do not fit") as told:
            publish(0, 0.1)
        assert other.url in str(told.value)
        runner.run(policy.close())


def test_all_gone_is_one_error(published, tiny_folder):
    with serving(tiny_folder) as server:
        _, publish, _ = published(server.url)
    with pytest.raises(PermanentPolicyError, match="no server of the model answers: the server at"):
        publish(0, 0.1)
