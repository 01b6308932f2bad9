"""Texts that a model writes for the data stages: batch by batch, kept as they come, so that a killed job goes on from there."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from presto_bench import draws, progress, tables
from presto_bench.config.models import SamplingConfig
from presto_bench.lm import chat, finite, folders, models, template, vllm_engine
from presto_bench.lm.decoding import Continuation, Sampled, continue_rows

log = logging.getLogger("presto_bench")

# (rows of ids, a generator for each) -> their continuations
Engine = Callable[[Sequence[Sequence[int]], Sequence[np.random.Generator]], list[Continuation]]


@dataclass(frozen=True)
class Writer:
    """A model in a folder and how it is to write. purpose: keys its draws, one generator a request. engine: what decodes."""

    folder: Path
    dtype: str
    chat_format: chat.ChatFormat
    sampling: SamplingConfig
    max_new_tokens: int
    batch_size: int
    purpose: str
    engine: str = "transformers"


def write(writer: Writer, prompts: Mapping[str, str], work: Path) -> pd.DataFrame:
    """The table `decoded` (prompt_id, text, finish, token_ids) of all prompts, in their order. work: where finished batches are kept."""
    tokenizer, context = folders.load_tokenizer(writer.folder), models.context_length(writer.folder)
    ids = sorted(prompts, key=lambda prompt_id: len(prompts[prompt_id]))  # of like length side by side
    missing = [start for start in range(0, len(ids), writer.batch_size) if not _part(writer, work, start).exists()]
    engine = ENGINES[writer.engine](writer) if missing else None
    for number, start in enumerate(missing):
        mine = ids[start : start + writer.batch_size]
        rows = [chat.encode(tokenizer, prompts[p], writer.chat_format) for p in mine]
        for row, prompt_id in zip(rows, mine, strict=True):
            chat.require_fit(row, writer.max_new_tokens, context, prompt_id)
        with progress.part(number, len(missing)), finite.naming(mine):
            found = engine([row.ids for row in rows], [draws.generator(writer.purpose, p) for p in mine])
        opened = template.leaves_open(tokenizer, writer.chat_format)
        texts = [chat.decode(tokenizer, c.ids, opened) for c in found]
        frame = pd.DataFrame({"prompt_id": mine, "text": texts, "finish": [c.finish for c in found]})
        frame["token_ids"] = [list(c.ids) for c in found]
        tables.write(_part(writer, work, start), "decoded", frame)
        log.info("%s: %d of %d", writer.purpose, start + len(mine), len(ids))
    parts = [tables.read(_part(writer, work, start), "decoded") for start in range(0, len(ids), writer.batch_size)]
    if parts:
        return pd.concat(parts).set_index("prompt_id").loc[list(prompts)].reset_index()
    return pd.DataFrame(columns=list(tables.TABLES["decoded"].columns))


def _part(writer: Writer, work: Path, start: int) -> Path:
    return work / f"{writer.purpose}-{start:06d}.parquet"


def _transformers(writer: Writer) -> Engine:
    model, tokenizer = models.load(writer.folder, writer.dtype)
    ends = chat.end_of_turn(tokenizer, model)

    def decode(rows: Sequence[Sequence[int]], generators: Sequence[np.random.Generator]) -> list[Continuation]:
        pick = Sampled(writer.sampling, generators, writer.max_new_tokens, model.device)
        return continue_rows(model, rows, writer.max_new_tokens, ends, pick)

    return decode


def _vllm(writer: Writer) -> Engine:
    return vllm_engine.engine(writer.folder, writer.dtype, writer.sampling, writer.max_new_tokens)


ENGINES: dict[str, Callable[[Writer], Engine]] = {"transformers": _transformers, "vllm": _vllm}
