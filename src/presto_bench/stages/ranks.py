"""ranks/, first_tokens/, attention/ and attention_received/: what an arm's distributions and attention look like after a prefill.

Teacher-forced ranks of the untouched model's own answers on the 2 x 2 of harmful/benign prompt x harmful/benign
prefill, how much of the first top 20 is refusal openers, how far the arm's ranks are the base's on the bare prompt (the
paper's PFA-1), the attention that response tokens pay to the prefill, and what attention each token of one request receives.

A cell's prefill is the first tokens of an untouched answer (a recipe or a benign one) and its text the tokens that
follow there. `role` says "<prompt>_<prefill>": harmful_harmful is the attack, benign_benign shows damage. A fifth cell,
swapped_harmful, is the null: the attack's prefill and text on the same request for another dish.
"""

import os.path
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from presto_bench import progress, tables
from presto_bench.errors import UserError
from presto_bench.lm import chat, finite, folders, models
from presto_bench.lm.forward import logits_at
from presto_bench.measures import ranks
from presto_bench.policies import by_name
from presto_bench.stages import openers as openers_of
from presto_bench.stages.job import Job
from presto_bench.training import attention_mass
from presto_bench.training.examples import Example, collate
from presto_bench.training.presto import Spans

PREFILL_TOKENS = 10
SHORT = {"facts": 3}  # tokens instead, where an answer is one sentence: its secret must stand behind the prefill
TEXT_TOKENS = 64
BATCH = 16
ATTACKED = "harmful_harmful"


@dataclass(frozen=True)
class Row:
    role: str
    prompt_id: str
    text: chat.Encoded


def make(job: Job) -> None:
    served = folders.is_served(job.path("model"))
    originals = {} if served else _originals(job)  # its distributions are cut, so that no ranking of the vocabulary is compared
    model, tokenizer = models.load(job.path("model"), job.model.dtype)
    openers = openers_of.of(job, tokenizer)
    rows = _rows(job, tokenizer, job.path("model"))
    if not rows:
        raise UserError(
            job.path("answers"),
            "no pair of a harmful and a benign test answer longer than the prefill is left to measure",
            "ask for more benign requests (standin.benign.test, harm.held_out) or longer answers (max_new_tokens)",
        )
    if getattr(model, "likelihoods", True) is False:
        return _nothing(job, "its endpoint tells no likelihood of a given text: ranks and bits are not measured")
    records, firsts = [], []
    for start in range(0, len(rows), BATCH):
        progress.tell(start, len(rows), "texts")
        part = rows[start : start + BATCH]
        with finite.naming([row.prompt_id for row in part]):
            found = _read(model, [row.text for row in part], chat.filler(tokenizer))
        for row, (first, text, told) in zip(part, found, strict=True):
            likely = getattr(model, "has_likelihoods", True)
            records += _records(job, row, text, first, openers, likely, told)
            if row.role == ATTACKED:
                # Of a model whose distribution is cut, most of the vocabulary shares the last rank.
                original = originals[row.prompt_id].to(first.device) if likely else None
                firsts += [
                    _first(job, row, place, where, openers, original)
                    for place, where in (("first", first), ("after_prefill", text[0]))
                ]
    _write(job, "ranks", "ranks", pd.DataFrame(records))
    _write(job, "first_tokens", "first_tokens", pd.DataFrame(firsts))
    attacked = [row for row in rows if row.role == ATTACKED]
    if served:
        job.note("it is behind an endpoint: what attention its tokens pay is not measured")
        _write(job, "attention", "attention")
        return _write(job, "received", "attention_received")
    attention = [
        attention_profiles(job, model, attacked[start : start + BATCH], chat.filler(tokenizer))
        for start in range(0, len(attacked), BATCH)
    ]
    _write(job, "attention", "attention", pd.concat(attention, ignore_index=True))
    _write(job, "received", "attention_received", received_attention(job, model, tokenizer, attacked[0]))


def _nothing(job: Job, why: str) -> None:
    """Empty tables, and why."""
    job.note(why)
    for output, table in (("ranks",) * 2, ("first_tokens",) * 2, ("attention",) * 2, ("received", "attention_received")):
        _write(job, output, table)


def _write(job: Job, output: str, table: str, frame: pd.DataFrame | None = None) -> None:
    """A table, empty without a frame."""
    columns = list(tables.TABLES[table].columns)
    tables.write(job.path(output), table, pd.DataFrame(columns=columns) if frame is None else frame.reindex(columns=columns))


def _read(model: Any, rows: Sequence[chat.Encoded], pad: int) -> list[tuple[torch.Tensor, torch.Tensor, Sequence[int] | None]]:
    """Of each row, logits (V,) on the bare prompt, logits (n, V) at its response's tokens, and the ranks that a server tells by itself."""
    if hasattr(model, "texts"):
        return [(told.first, told.logits, told.ranks) for told in model.texts(rows)]
    # The prompt's last position has the first-token distribution on the bare prompt: causal, whatever stands behind.
    wanted = [[row.prefill_start - 1, *range(row.response_start - 1, len(row.ids) - 1)] for row in rows]
    return [(logits[0], logits[1:], None) for logits in logits_at(model, rows, wanted, pad)]


def _rows(job: Job, tokenizer: Any, folder: Path) -> list[Row]:
    """All cells, through the chat format of the model in `folder`."""
    return list(cells(job, tokenizer, folders.chat_format(folder, job.chat_format)))


def _originals(job: Job) -> dict[str, torch.Tensor]:
    """prompt_id -> (V,) logits of the original model's first response token on the bare prompt: the base's, from which the arms were trained."""
    model, tokenizer = models.load(job.path("base"), job.model.dtype)
    found: dict[str, torch.Tensor] = {}
    attacked = [row for row in _rows(job, tokenizer, job.path("base")) if row.role == ATTACKED]
    for start in range(0, len(attacked), BATCH):
        part = attacked[start : start + BATCH]
        texts = [chat.Encoded(row.text.prompt_ids, len(row.text.prompt_ids), len(row.text.prompt_ids)) for row in part]
        with finite.naming([row.prompt_id for row in part]):
            logits = logits_at(model, texts, [[text.prefill_start - 1] for text in texts], chat.filler(tokenizer))
        found |= {row.prompt_id: own[0].cpu() for row, own in zip(part, logits, strict=True)}
    return found


def cells(job: Job, tokenizer: Any, chat_format: chat.ChatFormat) -> Iterator[Row]:
    """Rows of all four cells, over the held-out requests; a harmful and a benign one are paired by their order."""
    prompts = tables.read(job.path("prompts"), "prompts")
    answers = tables.read(job.path("answers"), "answers")
    frame = answers[answers["kept"]].merge(prompts[prompts["split"] == "test"], on="prompt_id")
    own = {role: list(group.itertuples()) for role, group in frame.groupby("role")}
    pairs = list(zip(own.get("harmful", []), own.get("benign", []), strict=False))
    twins = by_name.twins(job.spec["policy"], frame[frame["role"] == "harmful"], {})
    length = SHORT.get(job.spec["policy"], PREFILL_TOKENS)
    for harmful, benign in pairs:
        by_role = {"harmful": harmful, "benign": benign}
        for asked in by_role:
            for filled in by_role:
                named = by_role[asked]
                cell = f"{asked}_{filled}"
                yield from _row(tokenizer, chat_format, cell, named.prompt_id, named.prompt, by_role[filled].answer, length)
        twin, _ = twins[harmful.prompt_id]
        yield from _row(tokenizer, chat_format, "swapped_harmful", harmful.prompt_id, twin, harmful.answer, length)


def _row(
    tokenizer: Any, chat_format: chat.ChatFormat, role: str, prompt_id: str, prompt: str, answer: str, length: int
) -> Iterator[Row]:
    """One row, or none for an answer that is no longer than a prefill. length: of the prefill, in tokens."""
    ids = chat.encode_text(tokenizer, answer)[: length + TEXT_TOKENS]
    if len(ids) > length:
        yield Row(role, prompt_id, chat.encode(tokenizer, prompt, chat_format, ids[:length], ids[length:]))


def _records(
    job: Job,
    row: Row,
    logits: torch.Tensor,
    first: torch.Tensor,
    openers: set[int],
    likely: bool,
    told: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """likely: whether the model's probabilities are such that a divergence means something (those that are cut are not). told: ranks that a server tells."""
    found = ranks.token_ranks(logits, row.text.response_ids, openers)
    return [
        {
            "model": job.model.name,
            "arm": job.wildcards["arm"],
            "seed": job.seed,
            "prompt_id": row.prompt_id,
            "role": row.role,
            "position": i,
            "token_id": token,
            "rank": int(found.rank[i]) if told is None else told[i],
            "probability": float(found.probability[i]),
            "refusal_mass": float(found.refusal_mass[i]),
            "kl_first": ranks.kl_first(first, logits[0]) if i == 0 and likely else None,
            "overlap20": ranks.overlap(first, logits[0]) if i == 0 else None,
        }
        for i, token in enumerate(row.text.response_ids)
    ]


def _first(
    job: Job, row: Row, place: str, logits: torch.Tensor, openers: Sequence[int], original: torch.Tensor | None
) -> dict[str, Any]:
    pushed = dict.fromkeys(ranks.RANK_WEIGHTS) if original is None else ranks.weighted_spearman(original, logits)
    return {
        **pushed,
        "model": job.model.name,
        "arm": job.wildcards["arm"],
        "seed": job.seed,
        "prompt_id": row.prompt_id,
        "place": place,
        "openers_in_top20": sum(token in openers for token in ranks.top_ids(logits, 20)) / 20,
        "refusal_mass": float(logits.float().softmax(-1)[sorted(openers)].sum()),
        # What a server does not name is spread evenly: no entropy can be told from that.
        "entropy": None if folders.is_served(job.path("model")) else float(ranks.entropy(logits[None])),
    }


@torch.inference_mode()
def attention_profiles(job: Job, model: Any, rows: Sequence[Row], pad: int) -> pd.DataFrame:
    """The table `attention` of some texts: mean over the response's queries of the mass on the prefill, by layer and head."""
    attention = "eager" if attention_mass.obstacle_to_fused(model) else "fused"
    model.set_attn_implementation(attention_mass.NAME if attention == "fused" else "eager")
    batch = collate([Example(row.prompt_id, row.text, True, 0) for row in rows], pad)
    spans = Spans.of_prefills(batch["prefill_start"], batch["prefill_end"], batch["end"], "refusal").to(model.device)
    ids = batch["input_ids"].to(model.device)
    extra = attention_mass.arguments(attention, spans, ids.shape[-1])
    outputs = model(input_ids=ids, use_cache=False, logits_to_keep=1, **extra)
    found = attention_mass.masses(attention, spans, outputs, model.config.get_text_config().num_hidden_layers)
    queries = spans.queries(ids.shape[-1])[:, None, :]
    means = torch.stack([(m.double() * queries).sum(-1) / queries.sum(-1) for m in found], 1).cpu()  # (B, L, H)
    index = pd.MultiIndex.from_product(
        [[row.prompt_id for row in rows], range(means.shape[1]), range(means.shape[2])], names=["prompt_id", "layer", "head"]
    )
    frame = pd.DataFrame({"mass": means.flatten().numpy()}, index=index).reset_index()
    frame = frame.assign(model=job.model.name, arm=job.wildcards["arm"], seed=job.seed)
    return frame[list(tables.TABLES["attention"].columns)]


@torch.inference_mode()
def received_attention(job: Job, model: Any, tokenizer: Any, row: Row) -> pd.DataFrame:
    """The table `attention_received` of one request: mean attention on each token, by layer, over heads and over the queries behind it.

    Tokens from the user's text on, the prefill included, as the paper's Figures 10 and 11 have them. Empty for a model that hands out no attention.
    """
    columns = list(tables.TABLES["attention_received"].columns)
    model.set_attn_implementation("eager")
    ids = row.text.ids[: row.text.prefill_end]
    outputs = model(
        input_ids=torch.tensor([ids], device=model.device), use_cache=False, logits_to_keep=1, output_attentions=True
    )
    if not outputs.attentions or any(matrix is None for matrix in outputs.attentions):
        job.note("it hands out no attention matrices: what attention tokens receive is not measured")
        return pd.DataFrame(columns=columns)
    seen_by = torch.arange(len(ids), 0, -1, device=model.device)  # queries that can see each token
    received = torch.stack([matrix[0].double().mean(0).sum(0) / seen_by for matrix in outputs.attentions]).cpu().numpy()
    asked = folders.chat_format(job.path("model"), job.chat_format)
    others = chat.encode_prompt(tokenizer, "?", asked)
    start = len(os.path.commonprefix([list(ids), others]))  # noqa: RUF071 — ids, not paths
    rows = [
        (layer, position, "prefill" if position >= row.text.prefill_start else "prompt", received[layer, position])
        for layer in range(len(received))
        for position in range(start, len(ids))
    ]
    frame = pd.DataFrame(rows, columns=["layer", "position", "part", "received"])
    return frame.assign(model=job.model.name, arm=job.wildcards["arm"], seed=job.seed, prompt_id=row.prompt_id)[columns]
