"""Tiny random models of the architectures that users bring."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

SIZES = {
    "vocab_size": 600,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
HALF = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8}
GEMMA = {**HALF, "head_dim": 8, "query_pre_attn_scalar": 8}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0,
        "original_max_position_embeddings": 512}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0,
           "original_max_position_embeddings": 16}  # fmt: skip
LINEAR = {"layer_types": ["linear_attention", "full_attention"], "head_dim": 8,
          "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8,
          "linear_value_head_dim": 8}  # fmt: skip
SETTINGS = {
    "llama": ("llama", {}),
    "llama_yarn": ("llama", {"rope_parameters": YARN}),
    "mistral": ("mistral", {"sliding_window": None}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 8}),
    "granite": ("granite", {"attention_multiplier": 0.2, "logits_scaling": 2.0}),
    "smollm3": ("smollm3", {}),
    "olmo2": ("olmo2", {}),
    "glm4": ("glm4", {"head_dim": 8}),
    "phi3": ("phi3", {"sliding_window": None}),
    "gemma": ("gemma", {"head_dim": 8}),
    "mistral_window": ("mistral", {"sliding_window": 8}),
    "llama_dynamic": ("llama", {"rope_parameters": DYNAMIC}),
    "qwen2_window": ("qwen2", {**HALF, "use_sliding_window": True}),
    "gemma2": ("gemma2", {**GEMMA, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
    "gemma3": ("gemma3_text", GEMMA),
    "gpt_oss": ("gpt_oss", {**HALF, "head_dim": 8, "num_local_experts": 2,
                            "num_experts_per_tok": 1}),
    "lfm2": ("lfm2", {"layer_types": ["conv", "full_attention"]}),
    "qwen3_5": ("qwen3_5_text", LINEAR),
}  # fmt: skip
OTHERS = ("mistral_window", "llama_dynamic", "qwen2_window", "gemma2", "gemma3", "gpt_oss", "lfm2",
          "qwen3_5")  # fmt: skip
PLAIN = tuple(name for name in SETTINGS if name not in OTHERS)


def tiny(name):
    """A random model in evaluation mode, the same at each call."""
    kind, settings = SETTINGS[name]
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **(SIZES | settings)))
    with torch.no_grad():  # sinks begin as whatever lay in memory
        for key, weight in model.named_parameters():
            if "sinks" in key:
                weight.normal_()
    return model.eval()
