"""Random models of about a million parameters, one per family, with the family's form of chat template.

python tests/tiny_model.py FOLDER [llama|qwen3|gemma3|mistral]     (a real folder: config, safetensors, tokenizer)
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from presto_bench.policies import cooking

# The forms of the families' templates, written here: tags, default system text, thinking switch, missing system role.
CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN3 = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set sys = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set sys = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + (sys if loop.first else '') + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
GEMMA3 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
# family -> (template, bos, end of turn, further special tokens)
FORMATS = {
    "llama": (CHATML, "<|im_start|>", "<|im_end|>", []),
    "qwen3": (QWEN3, None, "<|im_end|>", ["<|im_start|>", "<think>", "</think>"]),
    "llama2": (LLAMA2, "<s>", "</s>", []),
    "mistral": (LLAMA2, "<s>", "</s>", []),
    "gemma3": (GEMMA3, "<bos>", "<end_of_turn>", ["<start_of_turn>"]),
}


def tokenizer(family: str, vocabulary: int = 2048) -> PreTrainedTokenizerFast:
    """Byte-level BPE trained on our own lists, with the family's special tokens and template."""
    template, bos, end, more = FORMATS[family]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = [token for token in (bos, end, *more) if token]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    texts = [*cooking.refusals(), *(" ".join((d.name, *d.ingredients)) for d in cooking.dishes() if d.split != "sealed")]
    core.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=bos, eos_token=end, pad_token=end, extra_special_tokens=more or None
    )
    wrapped.chat_template = template
    return wrapped


def model(family: str, vocabulary: int, layers: int = 2, dtype: torch.dtype = torch.float32, **changes):
    """A random model: a fixed seed, so that the same call makes the same weights. changes: to its config."""
    common = {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }
    windowed = {"sliding_window": 16}
    configs = {
        "llama": (LlamaConfig, {}),
        "llama2": (LlamaConfig, {}),
        "mistral": (MistralConfig, {"sliding_window": None}),
        "mistral_windowed": (MistralConfig, windowed),
        "qwen3": (Qwen3Config, {"head_dim": 16}),
        "gemma3": (
            Gemma3TextConfig,
            {"head_dim": 16, "layer_types": ["sliding_attention", "full_attention"] * layers, **windowed},
        ),
        "gemma2": (Gemma2Config, {"head_dim": 16}),
        "olmo2": (Olmo2Config, {}),
        "gpt_oss": (GptOssConfig, {"head_dim": 16, "num_local_experts": 2, "num_experts_per_tok": 1}),
    }
    kind, own = configs[family]
    if "layer_types" in own:
        own["layer_types"] = own["layer_types"][:layers]
    torch.manual_seed(0)
    config = kind(**{**common, **own, **changes})
    return AutoModelForCausalLM.from_config(config).to(dtype).eval()


def make(folder: Path, family: str = "llama", dtype: torch.dtype = torch.float32, **changes) -> Path:
    """A model folder as a user would bring it. changes: to its config."""
    wrapped = tokenizer(family)
    made = model(family, len(wrapped), dtype=dtype, **changes)
    made.generation_config.eos_token_id = wrapped.eos_token_id
    made.config.eos_token_id = made.config.pad_token_id = wrapped.eos_token_id
    made.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    make(Path(sys.argv[1]), *sys.argv[2:])
