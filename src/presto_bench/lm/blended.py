"""Two models behind one cache, for a defence that decodes from both (the idea of SafeDecoding, Xu et al. 2024, arXiv 2402.08983).

The served model and an expert that refuses read the same tokens. The sample space V is the smallest set {tokens that
both models rank among their first n} with at least c tokens. Inside V the next token has P = p + alpha (p_expert - p),
cut at 0. SafeDecoding applies this to the first two tokens of a response, which a prefill already fixes; here it
applies to every token. Tokens outside V rank after all of V, ordered by the same formula, so that a short list alone
does not stop an attacker who picks from ranks.
"""

import copy
from typing import Any

import torch
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from presto_bench.errors import UserError

OUTSIDE = -250.0  # what a token outside the sample space loses: all its probability, but float32 still tells such tokens apart
TINY = 1e-30


def blend(served: torch.Tensor, expert: torch.Tensor, alpha: float, sample_space: int) -> torch.Tensor:
    """Logits (…, V) of the blended distribution, from both models' logits."""
    p, q = served.float().softmax(-1), expert.float().softmax(-1)
    agreed = torch.maximum(_places(served), _places(expert))
    bar = agreed.topk(min(sample_space, agreed.shape[-1]), largest=False).values.amax(-1, keepdim=True)
    mixed = (p + alpha * (q - p)).clamp(min=TINY).log()
    # Where the mixture is cut, the served model's own taste decides: equal logits would order tokens by their ids.
    mixed = torch.where(p + alpha * (q - p) > TINY, mixed, mixed + served.float().log_softmax(-1))
    # On the served model's own scale of logits, which a repetition penalty works on; no probability changes.
    mixed = mixed + served.float().logsumexp(-1, keepdim=True)
    return torch.where(agreed <= bar, mixed, mixed + OUTSIDE)


def _places(logits: torch.Tensor) -> torch.Tensor:
    """0 for the best token, 1 for the next, …: ids break ties, as in ranks.py."""
    order = logits.sort(dim=-1, descending=True, stable=True).indices
    places = torch.arange(logits.shape[-1], device=logits.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)


def _behind(whole: Cache | None, first: int) -> Cache | None:
    """The layers of a cache from `first` on, as a cache of their own: the layers hold all there is."""
    if whole is None:
        return None
    if len(whole.layers) <= first:
        raise ValueError(f"a cache of {len(whole.layers)} layers holds no second model behind the first one's {first}")
    return Cache(layers=whole.layers[first:])


class _Trunks(nn.Module):
    """Both models up to their last hidden states, side by side: (B, T, 2 H)."""

    def __init__(self, served: Any, expert: Any):
        super().__init__()
        self.served, self.expert = served.base_model, expert.base_model
        self.layers_served = served.config.get_text_config().num_hidden_layers

    def forward(self, past_key_values: Cache | None = None, **inputs: Any) -> BaseModelOutputWithPast:
        first = self.served(past_key_values=past_key_values, **inputs)
        second = self.expert(past_key_values=_behind(past_key_values, self.layers_served), **inputs)
        seen = (*first.attentions, *second.attentions) if first.attentions else None
        hidden = torch.cat([first.last_hidden_state, second.last_hidden_state], -1)
        return BaseModelOutputWithPast(last_hidden_state=hidden, past_key_values=past_key_values, attentions=seen)


class _Heads(nn.Module):
    def __init__(self, served: Any, expert: Any, alpha: float, sample_space: int):
        super().__init__()
        self.served, self.expert = served.get_output_embeddings(), expert.get_output_embeddings()
        self.width, self.alpha, self.sample_space = served.config.get_text_config().hidden_size, alpha, sample_space

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        served, expert = self.served(hidden[..., : self.width]), self.expert(hidden[..., self.width :])
        return blend(served, expert, self.alpha, self.sample_space)


class Blended(PreTrainedModel, GenerationMixin):
    """The served model and the expert as one causal language model, with the served one's config and twice its layers."""

    base_model_prefix = "trunks"
    has_likelihoods = False  # outside the sample space there is no probability, so that a text's likelihood means nothing
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, served: Any, expert: Any, alpha: float, sample_space: int):
        super().__init__(_doubled(served.config))
        self.generation_config = served.generation_config
        self.trunks, self.heads = _Trunks(served, expert), _Heads(served, expert, alpha, sample_space)
        self.halves = (served, expert)

    def get_output_embeddings(self) -> nn.Module:
        return self.heads

    def get_input_embeddings(self) -> nn.Module:
        return self.halves[0].get_input_embeddings()

    def set_attn_implementation(self, attn_implementation: Any, *args: Any, **kwargs: Any) -> None:
        for half in self.halves:
            half.set_attn_implementation(attn_implementation, *args, **kwargs)
        self.config._attn_implementation = self.halves[0].config._attn_implementation

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,  # named: generate() looks here for what it may pass
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **inputs: Any,
    ) -> CausalLMOutputWithPast:
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        inputs |= {"input_ids": input_ids, "attention_mask": attention_mask, "position_ids": position_ids}
        found = self.trunks(past_key_values=past_key_values, use_cache=bool(use_cache), **inputs)
        kept = found.last_hidden_state[:, -logits_to_keep:] if logits_to_keep else found.last_hidden_state
        return CausalLMOutputWithPast(
            logits=self.heads(kept), past_key_values=found.past_key_values, attentions=found.attentions
        )


def _doubled(config: Any) -> Any:
    """The config of both trunks one behind the other, for whoever counts layers."""
    both = copy.deepcopy(config)
    text = both.get_text_config()
    text.num_hidden_layers *= 2
    if getattr(text, "layer_types", None):
        text.layer_types = [*text.layer_types, *text.layer_types]
    return both


def require_same_family(served: Any, expert: Any, folder: Any) -> None:
    """Both halves read the same ids in the same number of layers."""
    parts = ("model_type", "vocab_size", "num_hidden_layers", "hidden_size")
    mine, theirs = served.config.get_text_config(), expert.config.get_text_config()
    different = [part for part in parts if getattr(mine, part) != getattr(theirs, part)]
    if different:
        raise UserError(folder, f"served model and expert differ in {', '.join(different)}", "take two arms of one model")
