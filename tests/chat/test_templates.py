"""Chat templates of model families: training, rollouts and a server have the same tokens.

The templates are those that TRL ships; tokenizers are tiny, with the tokens of the family.
"""

import re
from pathlib import Path

import pytest
import trl
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from toolmaster.chat import CHATML_TOOLS, ChatFormat, prepare_tokenizer
from toolmaster.errors import InputError
from toolmaster.tags import inert
from toolmaster.types import ActionKind, Message, Phase, Step

TRL = Path(trl.__file__).parent / "chat_templates"
OWN = ("qwen2_5", "qwen3_instruct_2507", "lfm2", "lfm2_v2")
FLAT = ("qwen3", "qwen3_5_think", "qwen3_5_nothink", "qwen3_6", "qwen3_8", "llama3", "llama3_1",
        "llama3_2", "gemma", "gemma3", "gemma4", "gemma4_v5", "glm4moe", "gptoss", "lfm2_2_5",
        "phi3", "phi3_5", "deepseekv3", "nemotron_3_nano", "cohere2")  # fmt: skip
SENTENCES = ("gemma", "gemma3", "gemma4", "gemma4_v5", "inst")
"""Families whose tokenizers take a text whole, with spaces as a letter of their own."""
INST = """\
{%- if messages[0].role == 'system' -%}
{%- set system = messages[0].content -%}{%- set messages = messages[1:] -%}
{%- endif -%}
{{- bos_token -}}
{%- for message in messages -%}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('roles must alternate') -}}
{%- endif -%}
{%- if message.role == 'user' -%}
{%- if tools and loop.last -%}{{- '[AVAILABLE_TOOLS]' + (tools | tojson) + '[/AVAILABLE_TOOLS]' -}}{%- endif -%}
{{- '[INST] ' -}}
{%- if system is defined and loop.last -%}{{- system + '\n\n' -}}{%- endif -%}
{{- message.content | trim + ' [/INST]' -}}
{%- elif message.role == 'assistant' -%}{{- ' ' + message.content | trim + eos_token -}}
{%- elif message.role == 'tool' -%}{{- '[TOOL_RESULTS]' + message.tool_call_id + '[/TOOL_RESULTS]' -}}
{%- endif -%}
{%- endfor -%}"""  # noqa: E501
"""The kind that Mistral made: tools and system message move to the last user message."""
TOOL = {
    "type": "function",
    "function": {
        "name": "get_price",
        "description": "Price of a product, in dollars.",
        "parameters": {
            "type": "object",
            "properties": {"item": {"type": "string", "description": "its name"}},
            "required": ["item"],
        },
    },
}
CALL = '<tool_call>{"name": "get_price", "arguments": {"item": "Rug é"}}</tool_call>'
TURNS = (
    (f'<think>What \n\n it costs: "a" < b</think>{CALL}', "  4.5 <b>\n"),
    (f"<think></think>\n{CALL}", '{"error": "no \\"such\\" item"}'),
    ("<think>hm</think><experience>get_price: cents\n </experience>", "go on"),
    ("<think>so</think><answer>4</answer>", " And now?\n"),
    ("<think>that</think><answer> 5 </answer>", None),
)
STEPS = [
    Step(text=text, observation=observation, phase=Phase.TRIAL,
         action=ActionKind.ANSWER if "<answer>" in text else ActionKind.CALL)
    for text, observation in TURNS
]  # fmt: skip
PROMPT = [
    Message(role="system", content="Write <think>...</think> and one block."),
    Message(role="user", content="What does it cost?\n<experience>get_price: cents</experience>"),
]
CONTROL = re.compile(
    r"<\|[^<>\s'{]+?\|>|<\|?/?turn\|?>|</?(?:start|end)_of_turn>|<\|?channel\|?>|<\|?tool\w*\|?>"
    r"|<\uff5c[^\uff5c]+\uff5c>|\[/?[A-Z_]+\]|\[gMASK\]|<sop>"
)


@pytest.fixture(scope="module")
def sentence_bpe():
    """A BPE over whole texts, as Gemma's and Mistral's are."""
    core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    core.normalizer = normalizers.Replace(" ", "▁")
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    letters = [chr(code) for code in range(32, 127)] + ["▁", "\n", "é"]
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))],
        initial_alphabet=letters,
        show_progress=False,
    )
    core.train_from_iterator([text for turn in TURNS for text in turn if text] * 9, trainer)
    return core


@pytest.fixture
def family(trained_bpe, sentence_bpe):
    """A function: a tiny tokenizer with the template and control tokens of a family."""

    def make(name):
        template = INST if name == "inst" else (TRL / f"{name}.jinja").read_text()
        special = set(CONTROL.findall(template)) - {"<tool_call>", "<tool_response>", "<tools>"}
        core = (sentence_bpe if name in SENTENCES else trained_bpe).to_str()
        if "<|im_start|>" not in template:
            core = core.replace("<|im_", "<|reserved_")
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(core),
            bos_token="<bos>",
            eos_token="<eos>",
            additional_special_tokens=sorted(special),
        )
        tokenizer.chat_template = template
        tokenizer.name_or_path = name
        return tokenizer

    return make


def conversation():
    messages = [message.model_dump() for message in PROMPT]
    for step in STEPS:
        messages.append({"role": "assistant", "content": step.text})
        if step.observation is not None:
            messages.append({"role": step.observation_role, "content": step.observation})
    return messages


@pytest.mark.parametrize("name", [*OWN, *FLAT, "inst"])
def test_training_rollouts_and_a_server_have_the_same_tokens(name, family, tmp_path):
    tokenizer = prepare_tokenizer(family(name))
    chat = ChatFormat(tokenizer)
    trained, mask, _ = chat.render(PROMPT, [TOOL], STEPS)
    tokenizer.save_pretrained(tmp_path)
    server = AutoTokenizer.from_pretrained(tmp_path)

    def served(messages, **options):
        return server.apply_chat_template(
            messages, tools=[TOOL], tokenize=True, return_dict=False, **options
        )

    messages, rolled = conversation(), chat.prompt_ids(PROMPT, [TOOL])
    written = []
    for index, step in enumerate(STEPS):
        assert served(messages[: 2 + 2 * index], add_generation_prompt=True) == rolled
        turn = chat.turn_ids(step.text)
        assert chat.text(turn) == step.text
        written += turn
        rolled += turn
        if step.observation is not None:
            rolled += chat.observation_ids(step.observation, step.observation_role)
    assert trained == rolled
    assert [token for token, one in zip(trained, mask, strict=True) if one] == written
    whole = served(messages)
    assert whole[: len(trained)] == trained
    assert server.decode(whole[len(trained) :]).strip() == ""
    assert server.eos_token_id == chat.end_of_turn_id == trained[-1]
    again = prepare_tokenizer(server)
    assert again.chat_template == tokenizer.chat_template
    assert ChatFormat(again).render(PROMPT, [TOOL], STEPS).token_ids == trained


@pytest.mark.parametrize("name", [*OWN, *FLAT, "inst"])
def test_the_prompt_shows_tools_and_no_second_thought(name, family):
    tokenizer = family(name)
    own = tokenizer.chat_template
    chat = ChatFormat(prepare_tokenizer(tokenizer))
    assert (tokenizer.chat_template == own) == (name in OWN)
    text = tokenizer.decode(chat.render(PROMPT, [TOOL], STEPS).token_ids)
    for part in ("get_price", "Price of a product, in dollars.", "item", PROMPT[0].content):
        assert part in text
    assert not re.search(r"</?think>\s*<think>", text)
    assert "<tool_response>" in text or chat.observation_ids("4") != chat.observation_ids(
        "4", "user"
    )
    bare = tokenizer.decode(chat.prompt_ids(PROMPT, []))
    assert PROMPT[1].content in bare
    assert "get_price:" in bare
    assert "Price of" not in bare


@pytest.mark.parametrize("name", [*OWN, *FLAT, "inst"])
def test_control_tokens_of_the_family_cannot_be_smuggled(name, family):
    chat = ChatFormat(prepare_tokenizer(family(name)))
    controls = chat.tokenizer.all_special_tokens
    evil = "a".join(controls)
    for role in ("tool", "user"):
        clean, hostile = chat.observation_ids("x", role), chat.observation_ids(evil, role)
        for token in chat.tokenizer.convert_tokens_to_ids(controls):
            assert hostile.count(token) == clean.count(token)
    user = Message(role="user", content=inert(evil))
    counts = [
        [ids.count(token) for token in chat.tokenizer.convert_tokens_to_ids(controls)]
        for ids in (chat.prompt_ids(PROMPT, [TOOL]), chat.prompt_ids([PROMPT[0], user], [TOOL]))
    ]
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("qwen3", "drops or rewrites the <think> block of a turn"),
        ("qwen3_8", "shows an earlier turn in another form than the one in which turns are"),
        ("llama3_1", "changes the content of messages of the role 'tool'"),
        ("llama3", "trims the content of messages of the role 'tool'"),
        ("gemma3", "refuses messages of the roles user, assistant, tool: .*must alternate"),
        ("gemma4", "does not show a message of the role 'tool' once, as it is"),
        ("gptoss", "shows an earlier turn in another form"),
        ("phi3", "changes the prompt where a generation prompt follows"),
    ],
)
def test_what_a_template_does_is_said(name, reason, family):
    with pytest.raises(InputError, match=f"the chat template of '{name}' {reason}.*load_tokenizer"):
        ChatFormat(family(name))


def test_a_prompt_does_not_change_overnight(family):
    for name, shown in (("llama3_2", "Today Date: 26 Jul 2024"), ("gptoss", "date: 2024-07-26")):
        tokenizer = prepare_tokenizer(family(name))
        text = tokenizer.decode(ChatFormat(tokenizer).prompt_ids(PROMPT, [TOOL]))
        assert shown in text
    qwen = family("qwen2_5")
    dated = "{{ strftime_now('%d/%m/%Y') + strftime_now(\"%H\") }}" + qwen.chat_template
    qwen.chat_template = dated
    prepare_tokenizer(qwen)
    assert qwen.chat_template.endswith(dated)
    assert qwen.decode(ChatFormat(qwen).prompt_ids(PROMPT, [])).startswith("26/07/202400<|im_st")


def test_a_template_for_tools_among_several(family):
    qwen = family("qwen2_5")
    own = qwen.chat_template
    qwen.chat_template = {"default": "{{ messages[0].content }}", "tool_use": own}
    assert prepare_tokenizer(qwen).chat_template == own


def test_calls_in_messages_are_shown_in_a_flat_template(family):
    tokenizer = prepare_tokenizer(family("qwen3"))
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "<think>t</think>", "tool_calls": [call]},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert text.endswith(
        '<think>t</think><tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call><|im_end|>'
    )


def test_a_vision_template_is_replaced_by_ours_or_refused(family, bare_tokenizer):
    with pytest.raises(InputError, match="'llava_next' shows no tools and refuses messages of"):
        prepare_tokenizer(family("llava_next"))
    bare_tokenizer.chat_template = (TRL / "llava_next.jinja").read_text()
    assert prepare_tokenizer(bare_tokenizer).chat_template == CHATML_TOOLS


def test_a_tokenizer_that_joins_messages_is_refused(family):
    """A turn begins behind a generation prompt, whatever token the two would make together."""
    core = Tokenizer(models.BPE())
    core.decoder = decoders.Fuse()
    letters = [chr(code) for code in range(10, 127)] + ["é"]
    trainer = trainers.BpeTrainer(
        vocab_size=200, initial_alphabet=letters, special_tokens=["<|im_start|>", "<|im_end|>"],
        show_progress=False)  # fmt: skip
    core.train_from_iterator(["t\n<think>"] * 9, trainer)
    joining = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>")
    joining.chat_template = (TRL / "qwen2_5.jinja").read_text()
    with pytest.raises(InputError, match=r"makes other tokens of a whole conversation .*<think>"):
        ChatFormat(prepare_tokenizer(joining))
