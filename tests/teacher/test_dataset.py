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
def load(tmp_path):
    """A function: the rows of demonstrations as `datasets` reads them, always from one folder."""
    from datasets import load_dataset  # noqa: PLC0415

    def write_and_load(demonstrations):
        folder = tmp_path / "dataset"
        write_dataset(demonstrations, folder)
        return load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))

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


def llama_factory(folder):
    """LLaMA-Factory's entry and the rows that it reads by it."""
    entry = json.loads((folder / "dataset_info.json").read_text())["toolmaster"]
    lines = (folder / entry["file_name"]).read_text().splitlines()
    return entry, [json.loads(line) for line in lines]


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


def test_a_folder_written_anew_is_read_anew(load, demonstrations):
    assert len(load(demonstrations[:2])) == 2
    assert len(load(demonstrations)) == len(demonstrations)


def test_trl_tokenizes_the_rows_as_our_own_sft_does(
    rows, demonstrations, tiny_chat, load_tiny, tmp_path
):
    from trl import SFTConfig, SFTTrainer  # noqa: PLC0415

    from toolmaster.training.common import trainer_arguments  # noqa: PLC0415

    clean = [index for index, row in enumerate(rows) if row["slips"] == 0]
    assert clean
    tokenizer = tiny_chat.tokenizer
    arguments = SFTConfig(
        **trainer_arguments(tmp_path, seed=0),
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


def test_llama_factory_gets_no_slips_for_it_trains_on_every_turn(demonstrations, slipped, tmp_path):
    write_dataset([slipped, *demonstrations[1:]], tmp_path)
    _, got = llama_factory(tmp_path)
    clean = [d for d in demonstrations[1:] if not any(step.slip for step in d.steps)]
    assert [row["task_id"] for row in got] == [d.task_id for d in clean]
    assert all(m["train"] == (m["role"] == "assistant") for row in got for m in row["messages"])
    write_dataset([slipped], tmp_path)
    assert json.loads((tmp_path / "dataset_info.json").read_text()) == {}


def test_roles_alternate_as_llama_factory_wants_them(demonstrations, tmp_path):
    write_dataset(demonstrations, tmp_path)
    entry, got = llama_factory(tmp_path)
    tags = entry["tags"]
    asking = {tags["user_tag"], tags["observation_tag"]}
    assert got
    for row in got:
        assert set(entry["columns"].values()) <= set(row)
        first, *others = [m[tags["role_tag"]] for m in row["messages"]]
        assert first == tags["system_tag"]
        assert len(others) % 2 == 0
        assert set(others[::2]) <= asking
        assert set(others[1::2]) == {tags["assistant_tag"]}


def test_the_card_holds_what_axolotl_needs(rows, tmp_path):
    import yaml  # noqa: PLC0415

    card = (tmp_path / "dataset" / "README.md").read_text()
    [block] = [b for b in card.split("```yaml\n")[1:] if b.startswith("datasets:")]
    [entry] = yaml.safe_load(block.partition("```")[0])["datasets"]
    assert entry["type"] == "chat_template"
    for message in (m for row in rows for m in row[entry["field_messages"]]):
        assert isinstance(message[entry["message_field_training"]], bool)
