"""Tiny random models whose tokenizers, templates and configs have the forms of real families: what a user's model does that a tidy one does not."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import tiny_model
from presto_bench.policies import cooking

SPACE = "\u2581"  # SentencePiece's
PLAIN_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHATML_OF_LLAMA = tiny_model.CHATML
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
DATED = (
    '{% if not date_string is defined %}{% set date_string = strftime_now("%d %b %Y") %}{% endif %}'
    "<|im_start|>system\nToday Date: {{ date_string }}<|im_end|>\n" + PLAIN_CHATML
)
REASONS = PLAIN_CHATML.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")
MARKERS_OF_LLAMA3 = [
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    *(f"<|reserved_special_token_{i}|>" for i in range(4)),
]
# As GPT-4's: contractions, words, numbers of three digits, signs, line breaks, spaces.
TIKTOKEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _texts() -> list[str]:
    return [*cooking.refusals(), *(" ".join((d.name, *d.ingredients)) for d in cooking.dishes() if d.split != "sealed")]


@cache
def _bytes(pattern: str | None, vocabulary: int = 1024) -> str:
    """A byte-level BPE, as JSON. pattern: how it splits text before, None for GPT-2's way."""
    core = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    split = [pre_tokenizers.Split(Regex(pattern), "isolated")] if pattern else []
    core.pre_tokenizer = pre_tokenizers.Sequence([*split, level])
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        _texts(), trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    )
    return core.to_str()


@cache
def _sentencepiece(vocabulary: int = 1024) -> str:
    """A BPE with byte fallback, a space before each text, and a decoder that takes that space away again, as Llama 2's."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    trained.train_from_iterator(_texts(), trainers.BpeTrainer(vocab_size=vocabulary, show_progress=False))
    learnt = json.loads(trained.to_str())["model"]
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocab = {token: i for i, token in enumerate([*first, *learnt["vocab"]])}
    merges = [tuple(pair) for pair in learnt["merges"]]
    core = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    core.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    core.add_special_tokens(["<unk>", "<s>", "</s>"])
    return core.to_str()


def _wrapped(
    core: str, template: str, special: list[str] = (), ordinary: list[str] = (), **named: str
) -> PreTrainedTokenizerFast:
    """special, ordinary: tokens that are added to the vocabulary, as control tokens or not. named: bos_token, eos_token, …"""
    inner = Tokenizer.from_str(core)
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    inner.add_tokens([AddedToken(token, special=False, normalized=False) for token in ordinary])
    wrapped = PreTrainedTokenizerFast(tokenizer_object=inner, **named)
    wrapped.chat_template = template
    return wrapped


CHATML_MARKS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]


@dataclass(frozen=True)
class Animal:
    """A model as a user would bring it. tokenizer: makes its own; family: whose architecture; changes: to its config. more_rows: of the embeddings, beyond the tokenizer's."""

    tokenizer: Callable[[], PreTrainedTokenizerFast]
    family: str = "llama"
    more_rows: int = 0
    generation_end: str | None = None

    def make(self, folder: Path, **changes) -> Path:
        wrapped = self.tokenizer()
        end = wrapped.convert_tokens_to_ids(self.generation_end) if self.generation_end else None
        ids = {"bos_token_id": wrapped.bos_token_id, "eos_token_id": end, "pad_token_id": wrapped.pad_token_id}
        made = tiny_model.model(self.family, len(wrapped) + self.more_rows, **ids, **changes)
        made.generation_config.eos_token_id = end
        made.save_pretrained(folder)
        wrapped.save_pretrained(folder)
        return folder


ZOO: dict[str, Animal] = {
    "sentencepiece": Animal(
        lambda: _wrapped(_sentencepiece(), tiny_model.LLAMA2, bos_token="<s>", eos_token="</s>", unk_token="<unk>"),
        generation_end="</s>",
    ),
    "tiktoken": Animal(
        lambda: _wrapped(
            _bytes(TIKTOKEN),
            LLAMA3,
            ["<|begin_of_text|>", *MARKERS_OF_LLAMA3],
            bos_token="<|begin_of_text|>",
            eos_token="<|eot_id|>",
        ),
        generation_end="<|eot_id|>",
    ),
    "markers_not_special": Animal(
        lambda: _wrapped(_bytes(None), PLAIN_CHATML, ["<|endoftext|>"], ["<|im_start|>", "<|im_end|>"], eos_token="<|im_end|>"),
        generation_end="<|im_end|>",
    ),
    "no_eos": Animal(lambda: _wrapped(_bytes(None), PLAIN_CHATML, CHATML_MARKS)),
    "eos_is_not_the_end_of_turn": Animal(lambda: _wrapped(_bytes(None), PLAIN_CHATML, CHATML_MARKS, eos_token="<|endoftext|>")),
    "padded_embeddings": Animal(
        lambda: _wrapped(_bytes(None), PLAIN_CHATML, CHATML_MARKS, eos_token="<|im_end|>"),
        more_rows=61,
        generation_end="<|im_end|>",
    ),
    "dated": Animal(lambda: _wrapped(_bytes(None), DATED, CHATML_MARKS, eos_token="<|im_end|>"), generation_end="<|im_end|>"),
    "open_reasoning": Animal(
        lambda: _wrapped(_bytes(None), REASONS, CHATML_MARKS, ["<think>", "</think>"], eos_token="<|im_end|>"),
        family="qwen3",
        generation_end="<|im_end|>",
    ),
    "no_system_role": Animal(lambda: tiny_model.tokenizer("gemma3"), family="llama", generation_end="<end_of_turn>"),
    "hybrid_attention": Animal(lambda: tiny_model.tokenizer("gemma3"), family="gemma3", generation_end="<end_of_turn>"),
}
