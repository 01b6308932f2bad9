"""An attack on embeddings: perturbed prompt and prefill, and a greedy answer behind them (the reference's utils.py, `embedding_attack`; docs/reference/attacks.md).

Signed-gradient steps on the prefill's mean cross-entropy; after each, every token's perturbation is put back into a ball around its embedding. The best
perturbation of all steps is answered. An attacker needs the weights for it: it bounds what a change of the input could do.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F
from transformers import GenerationConfig

from presto_bench import progress
from presto_bench.attacks.base import Completion, Request, Setting
from presto_bench.config.attacks import Embedding
from presto_bench.errors import UserError
from presto_bench.lm import chat, finite
from presto_bench.lm.forward import logits_only_at


def run(config: Embedding, variant: str, requests: Sequence[Request], setting: Setting) -> list[Completion]:
    found = []
    for nth, request in enumerate(requests):
        with progress.part(nth, len(requests)):
            found.append(_attacked(config, request, setting))
    return found


def _attacked(config: Embedding, request: Request, setting: Setting) -> Completion:
    row = chat.encode(setting.tokenizer, request.prompt, setting.chat_format, request.prefill)
    chat.require_fit(row, config.max_new_tokens, setting.context, request.prompt_id)
    if not row.prefill_ids:
        raise UserError(f"attacks.{config.name}", f"prompt {request.prompt_id} has no prefill to make likelier", "leave it out")
    embedded, _ = perturb(config, setting.model, row)
    ids = _answer(setting, embedded, config.max_new_tokens)
    ended = bool(ids) and ids[-1] in setting.end_ids
    said = tuple(ids[:-1] if ended else ids)
    return Completion(request.prompt_id, 0, row.prefill_ids, said, "eos" if ended else "length", len(said))


def perturb(config: Embedding, model: Any, row: chat.Encoded) -> tuple[torch.Tensor, list[float]]:
    """(1, T, D) embeddings of prompt and prefill, perturbed, and the prefill's mean cross-entropy (nats a token) before each step and at the end."""
    ids = torch.tensor([row.ids], device=model.device)
    embed = model.get_input_embeddings()
    with torch.no_grad():
        start = embed(ids)
        radius = config.epsilon * float(
            embed(torch.arange(embed.weight.shape[0], device=ids.device)).float().norm(dim=-1).mean()
        )
    step = (
        config.step_size * radius / start.shape[-1] ** 0.5
    )  # a signed step of this size in each coordinate is step_size radii long
    free = _free(config, row, ids.device)
    moved, best, lowest = torch.zeros_like(start), start, float("inf")
    losses = []
    for nth in range(config.steps + 1):
        progress.tell(nth, config.steps, "steps")
        perturbed = (start + moved).detach().requires_grad_()
        loss = _loss(model, perturbed, ids, row)
        losses.append(float(loss.detach()))
        if losses[-1] < lowest:
            best, lowest = perturbed.detach(), losses[-1]
        if nth < config.steps:
            (slope,) = torch.autograd.grad(loss, perturbed)
            moved = _within(moved - step * slope.sign() * free, radius)
    return best, losses


def _free(config: Embedding, row: chat.Encoded, device: torch.device) -> torch.Tensor:
    """(1, T, 1): 1 where a token's embedding may change."""
    places = torch.arange(len(row.ids), device=device)
    inside = {"all": places >= 0, "prompt": places < row.prefill_start, "prefill": places >= row.prefill_start}
    return inside[config.perturbed][None, :, None].float()


def _loss(model: Any, embedded: torch.Tensor, ids: torch.Tensor, row: chat.Encoded) -> torch.Tensor:
    places = torch.arange(ids.shape[1], device=ids.device)[None]
    wanted = (places >= row.prefill_start - 1) & (places < row.prefill_end - 1)
    with logits_only_at(model, wanted):
        logits = model(inputs_embeds=embedded, use_cache=False).logits
    finite.require(logits, model)
    return F.cross_entropy(logits.float(), ids[0, row.prefill_start : row.prefill_end])


def _within(moved: torch.Tensor, radius: float) -> torch.Tensor:
    """Each token's perturbation, no longer than the radius."""
    norms = moved.float().norm(dim=-1, keepdim=True)
    return moved * (radius / norms.clamp(min=radius)).to(moved.dtype)


@torch.inference_mode()
def _answer(setting: Setting, embedded: torch.Tensor, max_new_tokens: int) -> list[int]:
    """Ids of the greedy answer, with the end of the turn if it came."""
    ends = list(setting.end_ids)
    config = GenerationConfig(do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=ends, pad_token_id=ends[0])
    mask = torch.ones(embedded.shape[:2], dtype=torch.long, device=embedded.device)
    return setting.model.generate(inputs_embeds=embedded, attention_mask=mask, generation_config=config)[0].tolist()
