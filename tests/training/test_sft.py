"""Supervised fine-tuning: what is trained, that it learns, that a kill costs little."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, TrainerCallback

from toolmaster.chat import ChatFormat
from toolmaster.errors import ConfigError, InputError
from toolmaster.models.checkpoints import add_tag_tokens, load_model, load_tokenizer
from toolmaster.models.provenance import read_training
from toolmaster.tags import RESPONSE_TAGS, TAGS
from toolmaster.training import sft
from toolmaster.training.common import last_checkpoint
from toolmaster.training.settings import SftSettings
from toolmaster.training.sft import longest_turn, train_sft, training_rows
from toolmaster.training.sft import sft as sft_function
from toolmaster.types import ActionKind, Message, Phase, Step, Trajectory


@pytest.fixture(scope="module")
def demonstrations(task_ids, demonstrate):
    return [demonstrate(task_id) for task_id in task_ids("train", 12)]


@pytest.fixture
def train(tiny_folder, demonstrations, tmp_path):
    """A function: train the tiny model; returns the folder and the lines logged of steps."""

    def run(folder=tmp_path / "sft", progress=None, lora_rank=0, **trainer):
        lines = []
        trainer = {"learning_rate": 1e-3, "save_steps": 100} | trainer
        model = train_sft(
            tiny_folder,
            demonstrations,
            SftSettings(trainer=trainer, lora_rank=lora_rank),
            folder,
            seed=0,
            log=lambda step, values: lines.append((step, values)) if step else None,
            progress=progress,
        )
        return model, lines

    return run


class Stop(TrainerCallback):
    """Ctrl-C after a step."""

    def __init__(self, step):
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def step(text, observation=None, **fields):
    return Step(
        text=text,
        phase=Phase.EXECUTION,
        action=ActionKind.CALL,
        observation=observation,
        **fields,
    )


def test_labels_by_hand(tiny_chat):
    prompt = [Message(role="system", content="rules"), Message(role="user", content="q")]
    steps = [step("<think>a</think>", "4"), step("<answer>4</answer>")]
    trajectory = Trajectory(
        task_id="t", protocol="direct", policy="p", prompt=prompt, tools=[], steps=steps
    )
    [row] = training_rows(tiny_chat, [trajectory])

    def encode(text):
        return tiny_chat.tokenizer.encode(text, add_special_tokens=False)

    pieces = [
        (
            "<|im_start|>system\nrules<|im_end|>\n<|im_start|>user\nq<|im_end|>"
            "\n<|im_start|>assistant\n",
            False,
        ),
        ("<think>a</think>", True),
        ("<|im_end|>", True),
        (
            "\n<|im_start|>user\n<tool_response>4</tool_response><|im_end|>"
            "\n<|im_start|>assistant\n",
            False,
        ),
        ("<answer>4</answer>", True),
        ("<|im_end|>", True),
    ]
    ids, labels = [], []
    for text, trained in pieces:
        tokens = encode(text)
        ids += tokens
        labels += tokens if trained else [-100] * len(tokens)
    assert row == {"input_ids": ids, "labels": labels}


def test_longest_turn_by_hand():
    rows = [{"labels": [-100, 5, 6, -100, 7, 8, 9]}, {"labels": [-100, 1, -100, -100]}]
    assert longest_turn(rows) == 3
    assert longest_turn([{"labels": [-100]}]) == 0


def test_trained_tokens_are_the_turns(tiny_chat, demonstrations):
    for demonstration, row in zip(
        demonstrations, training_rows(tiny_chat, demonstrations), strict=True
    ):
        trained = [token for token in row["labels"] if token != -100]
        expected = "".join(s.text + "<|im_end|>" for s in demonstration.steps if not s.slip)
        assert tiny_chat.tokenizer.decode(trained) == expected


def test_a_few_steps_lower_the_loss(train):
    _, lines = train(per_device_train_batch_size=4, num_train_epochs=3, warmup_steps=0)
    losses = [values["loss"] for _, values in lines if "loss" in values]
    assert [step for step, values in lines if "loss" in values] == list(range(1, 10))
    assert losses[-1] < losses[0] - 0.5
    assert all(isinstance(value, int | float) for _, values in lines for value in values.values())


def test_a_constant_rate_is_warmed_up(train):
    schedule = {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 0.6}
    _, lines = train(per_device_train_batch_size=3, **schedule)
    rates = [values["learning_rate"] for _, values in lines if "loss" in values]
    assert rates == pytest.approx([0, 1e-3 / 3, 2e-3 / 3, 1e-3])


def test_accumulated_rows_give_the_loss_of_one_row(train, tmp_path):
    parts = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}
    one = train(tmp_path / "one", per_device_train_batch_size=6, warmup_steps=0)[1]
    three = train(tmp_path / "three", warmup_steps=0, **parts)[1]
    for (_, whole), (_, parts) in zip(one[:2], three[:2], strict=True):
        assert parts["loss"] == pytest.approx(whole["loss"], rel=0.01)
        assert parts["grad_norm"] == pytest.approx(whole["grad_norm"], rel=0.05)


def test_the_result_is_an_ordinary_checkpoint(train, tiny_folder):
    folder, _ = train(per_device_train_batch_size=6)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype is torch.float32
    config = json.loads((folder / "config.json").read_text())
    assert config["use_cache"] is True
    assert config["vocab_size"] == len(load_tokenizer(folder)) == model.vocab_size
    tokenizer = load_tokenizer(folder)
    assert tokenizer.eos_token == "<|im_end|>"
    for tag in (*TAGS, *RESPONSE_TAGS):
        assert len(tokenizer.encode(tag, add_special_tokens=False)) == 1, tag
    assert ChatFormat(tokenizer).text(ChatFormat(tokenizer).turn_ids("<think>a</think>")) == (
        "<think>a</think>"
    )
    ids = torch.tensor([[5, 6, 7]])
    assert model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=2).shape[1] == 5


def test_small_steps_are_kept(train, tiny_folder):
    """In bfloat16 a weight of 0.05 moves by 2e-4 or not at all."""
    folder, _ = train(per_device_train_batch_size=12, learning_rate=1e-6, warmup_steps=0)
    trained, before = load_model(folder, "float32"), load_model(tiny_folder, "float32")
    name = "model.layers.0.mlp.up_proj.weight"
    moved = trained.state_dict()[name] - before.state_dict()[name]
    assert (moved != 0).float().mean() > 0.9
    assert moved.abs().max() < 2e-6


def test_no_embedding_changes_but_those_of_new_tokens(train, tiny_folder):
    folder, _ = train(per_device_train_batch_size=6)
    trained, before = load_model(folder, "float32"), load_model(tiny_folder, "float32")
    rows, old = (m.get_input_embeddings().weight.detach() for m in (trained, before))
    assert torch.equal(rows[: len(old)], old)
    add_tag_tokens(before, load_tokenizer(tiny_folder))
    begun = before.get_input_embeddings().weight.detach()[len(old) :]
    assert len(begun)
    assert (rows[len(old) :] != begun).any(1).all()


def test_a_stopped_run_goes_on_from_its_checkpoint(train, tmp_path, capsys):
    folder = tmp_path / "stopped"
    settings = {"per_device_train_batch_size": 3, "num_train_epochs": 2, "save_steps": 3}
    with pytest.raises(KeyboardInterrupt):
        train(folder, Stop(5), **settings)
    assert [p.name for p in (folder / "checkpoints").glob("checkpoint-*")] == ["checkpoint-3"]
    capsys.readouterr()
    resumed, lines = train(folder, **settings)
    assert f"continues from {folder / 'checkpoints' / 'checkpoint-3'}" in capsys.readouterr().err
    assert [step for step, values in lines if "loss" in values] == [4, 5, 6, 7, 8]
    whole, all_lines = train(tmp_path / "whole", **settings)
    for (_, one), (_, two) in zip(lines, all_lines[3:], strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-3)
    one, two = (load_model(path, "float32").state_dict() for path in (resumed, whole))
    for name, weight in one.items():
        torch.testing.assert_close(weight, two[name], atol=2e-2, rtol=2e-2)


def test_a_checkpoint_that_a_kill_left_half_written_is_passed_over(train, tmp_path):
    folder = tmp_path / "sft"
    train(folder, per_device_train_batch_size=3, save_steps=2)
    checkpoints = folder / "checkpoints"
    torn = checkpoints / "checkpoint-9"
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"global_step": 9, "ep')
    (checkpoints / "checkpoint-8").mkdir()
    assert last_checkpoint(checkpoints) == checkpoints / "checkpoint-4"
    _, lines = train(folder, per_device_train_batch_size=3, save_steps=2)
    assert [step for step, values in lines if "loss" in values] == []


def test_no_checkpoint(tmp_path):
    assert last_checkpoint(tmp_path / "none") is None


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT's
def test_adapters_are_merged_into_an_ordinary_checkpoint(train, tiny_folder):
    folder, lines = train(per_device_train_batch_size=6, lora_rank=4, learning_rate=1e-2)
    assert all(values["loss"] > 0 for _, values in lines if "loss" in values)
    assert not (folder / "adapter_config.json").exists()
    trained = load_model(folder, "float32").state_dict()
    before = load_model(tiny_folder, "float32").state_dict()
    assert set(trained) == set(before)
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(trained[name], before[name])


@pytest.mark.filterwarnings("ignore")  # PEFT's, about tied and resized embeddings
def test_adapters_come_with_the_embeddings_of_new_tokens(train, monkeypatch, tiny_folder):
    monkeypatch.setattr(sft, "add_tag_tokens", lambda model, tokenizer: [5, 9])
    folder, _ = train(per_device_train_batch_size=6, lora_rank=4, learning_rate=1e-1)
    trained, before = load_model(folder, "float32"), load_model(tiny_folder, "float32")
    rows = trained.get_input_embeddings().weight
    changed = (rows != before.get_input_embeddings().weight).any(1)
    assert changed.nonzero()[:, 0].tolist() == [5, 9]
    assert trained.get_output_embeddings().weight is rows


def test_nothing_to_learn_is_refused(tiny_folder, tmp_path):
    with pytest.raises(InputError, match="no demonstrations to train on; run the demonstrate"):
        train_sft(tiny_folder, [], SftSettings(), tmp_path, seed=0, log=lambda step, values: None)


def test_what_is_longer_than_the_model_s_context_is_refused(tiny_folder, demonstrations, tmp_path):
    last = demonstrations[1].steps[-1]
    long = demonstrations[1].model_copy(
        update={"steps": [last.model_copy(update={"text": last.text + "!" * 16000})]}
    )
    kept = [demonstrations[0], long]
    told = rf"1 of 2 demonstrations have more than the 8192 tokens .* of task '{long.task_id}'"
    with pytest.raises(InputError, match=told):
        train_sft(tiny_folder, kept, SftSettings(), tmp_path, seed=0, log=lambda step, values: None)


def test_tags_become_tokens_that_begin_as_the_mean_of_their_pieces(tiny_model, tiny_chat):
    tokenizer = tiny_chat.tokenizer
    tags = [*TAGS, *RESPONSE_TAGS]
    pieces = {tag: tokenizer.encode(tag, add_special_tokens=False) for tag in tags}
    new = [tag for tag in tags if len(pieces[tag]) > 1]
    assert new
    before = tiny_model.get_input_embeddings().weight.detach().clone()
    add_tag_tokens(tiny_model, tokenizer)
    rows = tiny_model.get_input_embeddings().weight
    assert rows.shape[0] == len(tokenizer) == len(before) + len(new)
    torch.testing.assert_close(rows[: len(before)], before)
    for tag in new:
        [index] = tokenizer.encode(tag, add_special_tokens=False)
        torch.testing.assert_close(rows[index], before[pieces[tag]].sum(0) / len(pieces[tag]))
    assert tiny_model.get_output_embeddings().weight is rows


def test_tags_are_added_once(tiny_model, tiny_chat):
    add_tag_tokens(tiny_model, tiny_chat.tokenizer)
    before = tiny_model.get_input_embeddings().weight.detach().clone()
    add_tag_tokens(tiny_model, tiny_chat.tokenizer)
    assert torch.equal(tiny_model.get_input_embeddings().weight, before)


def test_a_value_that_trl_refuses(train):
    with pytest.raises(ConfigError, match=r"TRL's SFTConfig: .*zigzag"):
        train(lr_scheduler_type="zigzag")


def test_the_public_function_takes_trl_s_words(tiny_folder, demonstrations, tmp_path):
    folder = sft_function(
        tiny_folder,
        demonstrations[:4],
        output_dir=tmp_path / "out",
        max_steps=1,
        per_device_train_batch_size=2,
    )
    assert folder == tmp_path / "out" / "model"
    training = read_training(folder)
    assert training.stages == ["sft"]
    assert training.task_ids == sorted(t.task_id for t in demonstrations[:4])
    lines = [json.loads(x) for x in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1]
    with pytest.raises(ConfigError, match=r"trainer: 'epochs' is not a field of TRL's SFTConfig"):
        sft_function(tiny_folder, demonstrations, output_dir=tmp_path / "no", epochs=3)


def test_metrics_go_where_report_to_says(tiny_folder, demonstrations, tmp_path, monkeypatch):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    options = {"max_steps": 2, "report_to": "tensorboard"}
    sft_function(tiny_folder, demonstrations[:2], output_dir=tmp_path / "one", **options)
    sft_function(tiny_folder, demonstrations[:2], output_dir=tmp_path / "two", **options)
    for name in ("one", "two"):  # beside the model, where the checkpoints' removal leaves them
        events = accumulator.EventAccumulator(str(tmp_path / name / "tensorboard"))
        events.Reload()
        assert [event.step for event in events.Scalars("train/loss")] == [1, 2]
