"""The dataset: loaded by `datasets`, tokenized by TRL with the masks our own SFT trains on."""

import json

import pytest

from toolmaster.teacher.dataset import dataset_row, write_dataset
from toolmaster.training.sft import training_rows
from toolmaster.types import Phase, Step


@pytest.fixture
def demonstrations(task_ids, demonstrate):
    return [demonstrate(task_id) for task_id in task_ids("train", 8)]


@pytest.fixture
def load(tmp_path):
    """A function: the rows of demonstrations as `datasets` reads them, always from one file."""
    from datasets import load_dataset  # noqa: PLC0415

    def write_and_load(demonstrations):
        file = str(tmp_path / "dataset.jsonl")
        write_dataset(demonstrations, tmp_path / "dataset.jsonl")
        cache = str(tmp_path / "cache")
        return load_dataset("json", data_files=file, split="train", cache_dir=cache)

    return write_and_load


@pytest.fixture
def rows(load, demonstrations):
    return load(demonstrations)


@pytest.fixture
def slipped(demonstrations):
    """A demonstration that begins with a slip."""
    one = demonstrations[0].model_copy(deep=True)
    slip = Step(text="oops", phase=Phase.TRIAL, action="invalid", observation="error", slip=True)
    one.steps.insert(0, slip)
    return one


def test_datasets_reads_the_file(rows, demonstrations):
    assert len(rows) == len(demonstrations)
    for row, demonstration in zip(rows, demonstrations, strict=True):
        messages = [{k: m[k] for k in ("role", "content")} for m in row["messages"]]
        assert messages == [m.model_dump() for m in demonstration.messages()]
        assert json.loads(row["tools"]) == demonstration.tools
        assert json.loads(row["labels"]) == demonstration.labels
        assert (row["task_id"], row["teacher"]) == (demonstration.task_id, "oracle")


def test_a_file_written_anew_is_read_anew(load, demonstrations):
    assert len(load(demonstrations[:2])) == 2
    assert len(load(demonstrations)) == len(demonstrations)


def test_trl_tokenizes_the_rows_as_our_own_sft_does(
    rows, demonstrations, tiny_chat, load_tiny, tmp_path
):
    from trl import SFTConfig, SFTTrainer  # noqa: PLC0415

    from toolmaster.training.common import trainer_arguments  # noqa: PLC0415
    from toolmaster.training.settings import SftSettings  # noqa: PLC0415

    clean = [index for index, row in enumerate(rows) if row["slips"] == 0]
    assert clean
    tokenizer = tiny_chat.tokenizer
    arguments = SFTConfig(
        **trainer_arguments(tmp_path, SftSettings(), seed=0),
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


def test_slips_are_counted_and_not_to_be_trained_on(demonstrations, slipped):
    row = dataset_row(slipped)
    assert row["slips"] == 1 + sum(step.slip for step in demonstrations[0].steps)
    by_text = {m["content"]: m["train"] for m in row["messages"]}
    assert by_text["oops"] is False
    assert by_text[slipped.steps[-1].text] is True
    assert not any(m["train"] for m in row["messages"] if m["role"] != "assistant")
