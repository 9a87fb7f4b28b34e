"""Training where attention is not plain causal: TRL's own forward pass on padded rows."""

import pytest
import torch
from tiny_models import tiny

from toolmaster.chat import ChatFormat
from toolmaster.limits import Limits
from toolmaster.models.checkpoints import add_tag_tokens, fast_dtype, load_model, load_tokenizer
from toolmaster.policies.base import Room
from toolmaster.protocols import Protocol
from toolmaster.rewards import Rewards
from toolmaster.tasksets import Task, Taskset
from toolmaster.training.grpo import train_grpo
from toolmaster.training.settings import GrpoSettings, SftSettings
from toolmaster.training.sft import train_sft, training_rows

NAMES = ("mistral_window", "gemma2", "gpt_oss", "lfm2")


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A function: a checkpoint folder of a tiny model of that architecture."""

    def make(name):
        path = tmp_path / name
        tiny(name).save_pretrained(path)
        load_tokenizer(tiny_folder).save_pretrained(path)
        return path

    return make


def loss_alone(model, rows):
    """The mean loss of the trained tokens by eager attention, one sequence at a time."""
    model.set_attn_implementation("eager")
    total, count = 0.0, 0
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"][1:])
        with torch.no_grad():
            logits = model(ids, use_cache=False).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        total, count = total + loss.item(), count + int((labels != -100).sum())
    return total / count


@pytest.mark.parametrize("name", NAMES)
def test_sft_sees_the_loss_of_eager_attention(name, folder, task_ids, demonstrate, tmp_path):
    source = folder(name)
    demonstrations = [demonstrate(task_id) for task_id in task_ids("train", 3)]
    lines = []
    train_sft(
        source,
        demonstrations,
        SftSettings(trainer={"per_device_train_batch_size": 3, "learning_rate": 1e-12}),
        tmp_path / "sft",
        seed=0,
        log=lambda _, values: lines.append(values),
    )
    [logged] = [values["loss"] for values in lines if "loss" in values]
    tokenizer, model = load_tokenizer(source), load_model(source, "float32").eval()
    add_tag_tokens(model, tokenizer)
    expected = loss_alone(model, training_rows(ChatFormat(tokenizer), demonstrations))
    rounding = 2e-2 if fast_dtype() == "bfloat16" else 1e-4
    assert logged == pytest.approx(expected, rel=rounding)


@pytest.mark.parametrize("name", NAMES)
def test_grpo_rolls_out_and_scores(name, folder, tmp_path):
    lines, groups = [], []
    train_grpo(
        folder(name),
        Taskset("sums", [Task("a", "What is 1 + 1?", tools=[], answer="2")]),
        Rewards({"format": 1.0}),
        Protocol.TRIAL,
        Limits(invalid_turns=2, max_turns=3),
        GrpoSettings(
            trainer={"max_steps": 1, "num_generations": 4, "gradient_accumulation_steps": 1},
            oversample=1,
            sampling=Room(turn_tokens=8, context_tokens=1024, slots=4),
        ),
        tmp_path / "grpo",
        seed=0,
        log=lambda _, values: lines.append(values),
        on_group=groups.append,
    )
    [logged] = [values for values in lines if "loss" in values]
    assert logged["frac_reward_zero_std"] == 1  # random models never keep the format
    assert [t.error for t in groups[0]] == [None] * 4
    assert logged["entropy"] > 0
