"""A model with a template of its own: what is saved renders what was trained."""

import json
from pathlib import Path

import pytest
import trl
from transformers import AutoTokenizer

from toolmaster.chat import ChatFormat
from toolmaster.models.checkpoints import load_model, load_tokenizer
from toolmaster.training.settings import SftSettings
from toolmaster.training.sft import train_sft

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
CASES = {
    "qwen3": "<|im_end|>",
    "llama3_2": "<|eot_id|>",
    "gptoss": "<|end|>",
    "glm4moe": "<|user|>",
}
CONTROL = {
    "llama3_2": ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "gptoss": ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>"],
    "glm4moe": ["[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"],
}


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A function: the tiny model with the template and tokens of a family."""

    def make(name):
        path = tmp_path / name
        tokenizer, model = (
            AutoTokenizer.from_pretrained(tiny_folder),
            load_model(tiny_folder, "float32"),
        )
        tokenizer.add_special_tokens({"additional_special_tokens": CONTROL.get(name, [])})
        tokenizer.chat_template = (TEMPLATES / f"{name}.jinja").read_text()
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        model.generation_config.eos_token_id = [0]
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
        return path

    return make


@pytest.mark.parametrize("name", CASES)
def test_a_server_renders_what_was_trained(name, folder, task_ids, demonstrate, tmp_path):
    shown = demonstrate(task_ids("train", 1)[0])
    settings = SftSettings(trainer={"learning_rate": 1e-3})
    trained = train_sft(
        folder(name), [shown], settings, tmp_path / "sft", seed=0, log=lambda *_: None
    )
    server = AutoTokenizer.from_pretrained(trained)
    assert server.eos_token == CASES[name]
    stops = json.loads((trained / "generation_config.json").read_bytes())["eos_token_id"]
    assert server.eos_token_id in (stops if isinstance(stops, list) else [stops])
    expected = ChatFormat(load_tokenizer(trained)).render(shown.prompt, shown.tools, shown.steps)
    found = server.apply_chat_template(
        [message.model_dump() for message in shown.messages()],
        tools=shown.tools,
        tokenize=True,
        return_dict=False,
    )
    assert found[: len(expected.token_ids)] == expected.token_ids
    assert server.decode(found[len(expected.token_ids) :]).strip() == ""
