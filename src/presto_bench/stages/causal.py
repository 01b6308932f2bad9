"""causal/<model>/<arm>/seed<n>.parquet: does attention to the prefill carry what the paper says it carries?

Two kinds of text (the untouched model's recipe after its own beginning on the harmful prompt, and the same with a
benign answer) are read repeatedly, each time with attention to the prefill changed in one band of layers: removed, or
set to what the other headline arm pays there. The cost of the text in bits is compared with the unchanged pass and with
two shams. Shams are changed by as much as possible, while the prefill's attention is held: a random span of the prompt
as long as the prefill, which has little attention to lose, and the whole prompt.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pandas as pd
import torch

from presto_bench import draws, tables
from presto_bench.analysis.depth import BENIGN, HARMFUL, bits
from presto_bench.config.causal import UNPATCHED, CausalConfig
from presto_bench.errors import UserError
from presto_bench.lm import chat, folders, models
from presto_bench.lm.forward import logits_at
from presto_bench.measures import attention_patch
from presto_bench.measures.attention_patch import Patch
from presto_bench.measures.ranks import token_ranks
from presto_bench.stages.job import Job
from presto_bench.stages.ranks import Row, cells
from presto_bench.training import attention_mass
from presto_bench.training.examples import Example, collate
from presto_bench.training.presto import Spans

log = logging.getLogger("presto_bench")

BATCH = 12
PREFILL, SHAM, PROMPT = "prefill", "sham", "prompt"
KNOCK_OUT, TAKE_OVER = "knock_out", "take_over"


@dataclass(frozen=True)
class Batch:
    """Rows with their spans as masks (B, T), the prefill's and the shams', by name. later: queries from the first token behind the prefill on, so that each pays to
    the whole of it."""

    rows: Sequence[Row]
    ids: torch.Tensor
    spans: Mapping[str, torch.Tensor]
    later: torch.Tensor
    pad: int


def make(job: Job) -> None:
    config = CausalConfig.model_validate(job.spec["causal"])
    tokenizer = folders.load_tokenizer(job.path("model"))
    rows = list(chosen(job, tokenizer, config.texts))
    batches = [batch_of(part, chat.filler(tokenizer), job.seed) for part in by_kind(rows)]
    given = paid_by_donor(job, batches)  # before the model is there: two of them need not fit
    model, _ = models.load(job.path("model"), job.model.dtype)
    obstacle = attention_mass.obstacle_to_fused(model)
    if obstacle:
        raise UserError(job.path("model"), f"its attention cannot be patched: {obstacle}", "leave `causal` out for this model")
    records = []
    with attention_patch.patchable(model), torch.inference_mode():
        for number, batch in enumerate(batches):
            records += _measured(job, batch, UNPATCHED, PREFILL, (0, -1), costs(model, batch, None), 0.0)
            wanted: dict[str, Callable] = {KNOCK_OUT: attention_patch.knocked_out}
            if given is not None:
                wanted[TAKE_OVER] = attention_patch.taken_over(given[number])
            for band in bands(model.config.get_text_config().num_hidden_layers, config.layers_per_band):
                for name, mass in wanted.items():
                    for span, keys in batch.spans.items():
                        patch = Patch(frozenset(range(band[0], band[1] + 1)), keys, batch.later, batch.spans[PREFILL], mass)
                        found = costs(model, batch, patch)
                        records += _measured(job, batch, name, span, band, found, sum(patch.moved) / len(patch.moved))
            log.info("causal test: batch %d of %d", number + 1, len(batches))
    tables.write(job.path("causal"), "causal", pd.DataFrame(records, columns=list(tables.TABLES["causal"].columns)))


def bands(layers: int, width: int) -> list[tuple[int, int]]:
    """(first, last) of each band, and of all layers together."""
    found = [(first, min(first + width, layers) - 1) for first in range(0, layers, width)]
    return [*found, (0, layers - 1)] if len(found) > 1 else found


def chosen(job: Job, tokenizer: Any, texts: int) -> Iterator[Row]:
    """The first texts of each kind that have more than one token behind the prefill."""
    form = folders.chat_format(job.path("model"), job.chat_format)
    everything = [row for row in cells(job, tokenizer, form) if len(row.text.response_ids) > 1]
    for role in (HARMFUL, BENIGN):
        yield from islice((row for row in everything if row.role == role), texts)


def by_kind(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """In parts of BATCH, each of one kind of text: how much mass a patch moves is known of a whole batch."""
    kinds = [[row for row in rows if row.role == role] for role in dict.fromkeys(row.role for row in rows)]
    return [own[i : i + BATCH] for own in kinds for i in range(0, len(own), BATCH)]


def batch_of(rows: Sequence[Row], pad: int, seed: int) -> Batch:
    batch = collate([Example(row.prompt_id, row.text, True, 0) for row in rows], pad)
    width = batch["input_ids"].shape[-1]
    positions = torch.arange(width)[None]
    starts = torch.tensor([sham_start(row, seed) for row in rows])[:, None]
    length = (batch["prefill_end"] - batch["prefill_start"])[:, None]
    answers = torch.tensor([row.text.response_start for row in rows])[:, None]
    begins = batch["prefill_start"][:, None]
    spans = {
        PREFILL: (positions >= begins) & (positions < batch["prefill_end"][:, None]),
        SHAM: (positions >= starts) & (positions < starts + length),
        PROMPT: positions < begins,
    }
    later = (positions >= answers) & (positions < batch["end"][:, None])
    return Batch(rows, batch["input_ids"], spans, later, pad)


def sham_start(row: Row, seed: int) -> int:
    """Where a span of the prefill's length begins in the prompt: a draw; at the prompt's start where it is no longer than that."""
    room = row.text.prefill_start - (row.text.prefill_end - row.text.prefill_start)
    return int(draws.generator("sham_span", seed, row.prompt_id, row.role).integers(max(room, 0) + 1))


def paid_by_donor(job: Job, batches: Sequence[Batch]) -> list[list[torch.Tensor]] | None:
    """Each batch's masses under the other arm; None for a job that has no such arm."""
    if "donor" not in job.input:
        return None
    donor, _ = models.load(job.path("donor"), job.model.dtype)
    return [[mass.cpu() for mass in paid(donor, batch)] for batch in batches]


@torch.inference_mode()
def paid(model: Any, batch: Batch) -> list[torch.Tensor]:
    """Each layer's mass (B, H, T) on the prefill."""
    attention_mass.switch_on(model)
    starts = torch.tensor([row.text.prefill_start for row in batch.rows])
    ends = torch.tensor([row.text.prefill_end for row in batch.rows])
    spans = Spans.of_prefills(starts, ends, torch.tensor([len(row.text.ids) for row in batch.rows]), "all").to(model.device)
    extra = attention_mass.arguments("fused", spans, batch.ids.shape[-1])
    outputs = model(input_ids=batch.ids.to(model.device), use_cache=False, logits_to_keep=1, **extra)
    return attention_mass.masses("fused", spans, outputs, model.config.get_text_config().num_hidden_layers)


def costs(model: Any, batch: Batch, patch: Patch | None) -> list[float]:
    """Bits a token of each text, its first token left out: what predicts that one stands in the prefill and is not patched."""
    texts = [row.text for row in batch.rows]
    wanted = [range(text.response_start, len(text.ids) - 1) for text in texts]
    device = model.device
    if patch is not None:
        patch = Patch(
            patch.layers, patch.keys.to(device), patch.queries.to(device), patch.prefill.to(device), patch.wanted, patch.moved
        )
    found = logits_at(model, texts, wanted, batch.pad, attention_patch=patch)
    if not all(bool(logits.isfinite().all()) for logits in found):
        raise ValueError("the patched pass gave logits that are no numbers; their ranks would be 1")
    ranks = [token_ranks(logits, text.response_ids[1:], ()).rank for logits, text in zip(found, texts, strict=True)]
    return [bits(rank) / len(rank) for rank in ranks]


def _measured(
    job: Job, batch: Batch, patch: str, span: str, band: tuple[int, int], found: Sequence[float], moved: float
) -> list[dict[str, Any]]:
    run = {"model": job.model.name, "arm": job.wildcards["arm"], "seed": job.seed}
    where = {"patch": patch, "span": span, "first_layer": band[0], "last_layer": band[1], "moved": moved}
    return [
        {**run, "prompt_id": row.prompt_id, "role": row.role, **where, "bits": cost}
        for row, cost in zip(batch.rows, found, strict=True)
    ]
