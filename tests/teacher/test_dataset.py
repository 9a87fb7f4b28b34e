"""The dataset: loaded by `datasets`, tokenized by TRL with the masks our own SFT trains on."""

import json

import pytest

from toolmaster.teacher.dataset import dataset_row, write_dataset
from toolmaster.training.sft import training_rows
from toolmaster.types import Phase, Step
from toolmaster.world.quirks import FAMILIES


@pytest.fixture
def demonstrations(world, demonstrate):
    return [demonstrate(task_id) for task_id in world.ids("seen", 8, FAMILIES)]


@pytest.fixture
def rows(tmp_path, demonstrations):
    """The rows as `datasets` reads them."""
    from datasets import load_dataset  # noqa: PLC0415

    write_dataset(demonstrations, tmp_path / "dataset")
    return load_dataset(str(tmp_path / "dataset"), split="train", cache_dir=str(tmp_path / "cache"))


def test_datasets_reads_the_folder(rows, demonstrations, tmp_path):
    assert len(rows) == len(demonstrations)
    for row, demonstration in zip(rows, demonstrations, strict=True):
        messages = [{k: m[k] for k in ("role", "content")} for m in row["messages"]]
        assert messages == [m.model_dump() for m in demonstration.messages()]
        assert json.loads(row["tools"]) == demonstration.tools
        assert json.loads(row["labels"]) == demonstration.labels
        assert (row["task_id"], row["teacher"]) == (demonstration.task_id, "oracle")
    lines = (tmp_path / "dataset" / "train.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == list(rows)


def test_trl_tokenizes_the_rows_as_our_own_sft_does(
    rows, demonstrations, tiny_chat, load_tiny, tmp_path
):
    from trl import SFTConfig, SFTTrainer  # noqa: PLC0415

    from toolmaster.training.common import trainer_arguments  # noqa: PLC0415

    clean = [index for index, row in enumerate(rows) if row["slips"] == 0]
    assert clean
    tokenizer = tiny_chat.tokenizer
    arguments = SFTConfig(
        **trainer_arguments(tmp_path, seed=0, save_steps=1),
        max_length=None,
        assistant_only_loss=True,
    )
    trainer = SFTTrainer(
        model=load_tiny(),
        args=arguments,
        train_dataset=rows.select(clean),
        processing_class=tokenizer,
    )
    own = training_rows(tiny_chat, [demonstrations[index] for index in clean])
    for theirs, ours in zip(trainer.train_dataset, own, strict=True):
        assert list(theirs["input_ids"]) == ours["input_ids"]
        trained = [int(label != -100) for label in ours["labels"]]
        assert list(theirs["assistant_masks"]) == trained


def test_slips_are_counted_and_not_to_be_trained_on(demonstrations):
    one = demonstrations[0].model_copy(deep=True)
    slip = Step(text="oops", phase=Phase.TRIAL, action="invalid", observation="error", slip=True)
    one.steps.insert(0, slip)
    row = dataset_row(one)
    assert row["slips"] == 1 + sum(step.slip for step in demonstrations[0].steps)
    by_text = {m["content"]: m["train"] for m in row["messages"]}
    assert by_text["oops"] is False
    assert by_text[one.steps[-1].text] is True
    assert not any(m["train"] for m in row["messages"] if m["role"] != "assistant")


def test_roles_alternate_as_llama_factory_wants_them(rows, tmp_path):
    entry = json.loads((tmp_path / "dataset" / "dataset_info.json").read_text())["toolmaster"]
    tags = entry["tags"]
    asking = {tags["user_tag"], tags["observation_tag"]}
    for row in rows:
        assert set(entry["columns"].values()) <= set(row)
        first, *others = [m[tags["role_tag"]] for m in row["messages"]]
        assert first == tags["system_tag"]
        assert len(others) % 2 == 0
        assert set(others[::2]) <= asking
        assert set(others[1::2]) == {tags["assistant_tag"]}
