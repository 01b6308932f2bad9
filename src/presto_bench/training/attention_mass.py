"""Attention mass on the prefill from fused attention, without the attention matrix (docs/explanation/method.md).

m(q) = sum over prefill keys k of A(q, k) is what attention returns where the values are 1 on the prefill and 0 elsewhere:
one more column of the values, and of the output. The registered attention function returns it as its second value, so
that transformers hands it out as `outputs.attentions`: one (B, H, T) a layer.
"""

from typing import Any

import torch
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from presto_bench.errors import UserError
from presto_bench.training.presto import Spans, prefill_mass

NAME = "sdpa_prefill_mass"
# Fused kernels want widths that are multiples of 8.
COLUMNS = 8
# The widest head that CUDA's flash kernel takes; wider ones get a second call for the mass.
WIDEST_FLASH = 256
_PLAIN_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}


def attention_with_mass(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    prefill_keys: torch.Tensor | None = None,
    output_attentions: bool | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """transformers' SDPA, and beside its output (B, T, H, D) the mass (B, H, T) of each query on `prefill_keys` (B, T).

    query (B, H, T, D); key, value (B, H / groups, T, D). Without prefill_keys it is SDPA itself.
    """
    if prefill_keys is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    if kwargs.get("dropout"):
        raise UserError(
            f"attention of {type(module).__name__}",
            f"it drops {kwargs['dropout']:.0%} of its attention, so that rows do not sum to 1",
            "set the model's attention dropout to 0",
        )
    if prefill_keys.shape[-1] != key.shape[2]:
        raise UserError(
            "prefill_keys",
            f"{prefill_keys.shape[-1]} positions, but {key.shape[2]} keys",
            "train with use_cache=False: the prefill is marked among the keys of this very call",
        )
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling  # padding must not change it
    indicator = prefill_keys.to(value.dtype)[:, None, :, None].expand(-1, value.shape[1], -1, -1)
    indicator = F.pad(indicator, (0, COLUMNS - 1))
    call = _one_call if value.shape[-1] + COLUMNS <= WIDEST_FLASH else _two_calls
    return call(module, query, key, value, indicator, attention_mask, scaling=scaling, **kwargs)


def _one_call(module, query, key, value, indicator, attention_mask, **kwargs):
    """Queries and keys padded with zeros to the values' new width: the kernels want them equal."""
    width = value.shape[-1]
    query, key = (F.pad(x, (0, COLUMNS)) for x in (query, key))
    output, _ = sdpa_attention_forward(module, query, key, torch.cat([value, indicator], -1), attention_mask, **kwargs)
    return output[..., :width], _alone(output[..., width])


def _two_calls(module, query, key, value, indicator, attention_mask, **kwargs):
    """For heads too wide for one more column: the same attention again, over the indicator alone."""
    output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    mass, _ = sdpa_attention_forward(module, query, key, indicator, attention_mask, **kwargs)
    return output, _alone(mass[..., 0])


def _alone(mass: torch.Tensor) -> torch.Tensor:
    """(B, H, T) from (B, T, H), copied: a view would keep the whole output alive until the step ends."""
    return mass.transpose(1, 2).clone(memory_format=torch.contiguous_format)


# Without the mask's own entry transformers passes no mask at all, silently.
AttentionInterface.register(NAME, attention_with_mass)
AttentionMaskInterface.register(NAME, sdpa_mask)


def switch_on(model: Any, attention: str = "fused") -> None:
    """Make `model` hand out masses, fused or eager, or say why it cannot."""
    if attention == "eager":
        _require_no_dropout(model)
        model.set_attn_implementation("eager")
        return
    obstacle = obstacle_to_fused(model)
    if obstacle:
        raise UserError(
            f"model {_name(model)}",
            f"PRESTO's mass cannot be taken from its fused attention: {obstacle}",
            "set presto.attention: eager for this arm (slower, keeps the attention matrices), or take another model",
        )
    model.set_attn_implementation(NAME)


def arguments(attention: str, spans: Spans, width: int) -> dict[str, Any]:
    """What a forward pass over `width` tokens needs, so that it hands out masses."""
    if attention == "eager":
        return {"output_attentions": True}
    return {"output_attentions": True, "prefill_keys": spans.keys(width)}


def masses(attention: str, spans: Spans, outputs: Any, layers: int) -> list[torch.Tensor]:
    """Each layer's masses (B, H, T) out of such a forward pass; a model that handed out anything else is refused."""
    found = list(outputs.attentions or [])
    if attention == "eager":
        found = [prefill_mass(matrix, spans) for matrix in found]
    if len(found) != layers or any(m.dim() != 3 or len(m) != len(spans.key_end) for m in found):
        shapes = sorted({tuple(m.shape) for m in found})
        raise UserError(
            "PRESTO",
            f"the model handed out {len(found)} masses of shapes {shapes} for {layers} layers",
            "its attention does not go through transformers' attention interface; presto.attention: eager may still work",
        )
    if torch.is_grad_enabled() and not any(m.requires_grad for m in found):
        raise UserError(
            "PRESTO",
            "the masses carry no gradient, so that the term would teach nothing",
            "use activation checkpointing with use_reentrant=False",
        )
    return found


def obstacle_to_fused(model: Any) -> str | None:
    """Why this model's masses cannot come from fused attention; None if nothing is in the way."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or []) - _PLAIN_LAYERS
    if getattr(config, "attn_logit_softcapping", None):
        return "it caps its attention logits"
    if not getattr(model, "_supports_attention_backend", False) or not getattr(model, "_supports_sdpa", False):
        return "the model has no fused attention in transformers"
    if kinds:
        return f"it has layers of kind {', '.join(sorted(kinds))}"
    if any("sink" in name for name, _ in model.named_parameters()):
        return "it has attention sinks, so that rows do not sum to 1"
    if _attention_dropout(model) > 0:
        return f"its attention dropout is {_attention_dropout(model)}, so that rows do not sum to 1"
    return None


def _require_no_dropout(model: Any) -> None:
    if _attention_dropout(model) > 0:
        raise UserError(
            f"model {_name(model)}",
            f"attention dropout is {_attention_dropout(model)}, so that attention rows do not sum to 1",
            "set attention_dropout to 0 in the model's config.json",
        )


def _name(model: Any) -> str:
    return f"{type(model).__name__} ({model.config.name_or_path or model.config.model_type})"


def _attention_dropout(model: Any) -> float:
    return float(getattr(model.config.get_text_config(), "attention_dropout", 0.0) or 0.0)
