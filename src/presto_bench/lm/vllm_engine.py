"""Decoding through vLLM, for data of thousands of texts on a GPU. Not among what presto-bench installs: `pip install vllm` beside it.

Input and output ids are as with transformers, and each row is sampled with its own seed. But vLLM's sampler maps a seed
to other tokens than ours does.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import GenerationConfig

from presto_bench.config.models import SamplingConfig
from presto_bench.errors import UserError
from presto_bench.lm import chat, folders, precision
from presto_bench.lm.decoding import Continuation


def engine(
    folder: Path, dtype: str, sampling: SamplingConfig, max_new_tokens: int
) -> Callable[[Sequence[Sequence[int]], Sequence[np.random.Generator]], list[Continuation]]:
    """A function from rows of ids, with a generator each, to their continuations."""
    try:
        import vllm
    except ImportError as error:
        raise UserError(
            "harm.engine", f"vLLM cannot be imported: {error}", "pip install vllm, or leave `engine: transformers`"
        ) from error
    # Outside the model's own defaults nothing is taken from its generation config, as with transformers (models.load).
    loaded = vllm.LLM(
        model=str(folder),
        dtype=precision.of_weights(folder, dtype),
        trust_remote_code=False,
        load_format="safetensors",
        generation_config="vllm",
    )
    ends = _ends(folder)

    def decode(rows: Sequence[Sequence[int]], generators: Sequence[np.random.Generator]) -> list[Continuation]:
        wanted = [_parameters(vllm, sampling, max_new_tokens, ends, generator) for generator in generators]
        found = loaded.generate([{"prompt_token_ids": list(row)} for row in rows], wanted, use_tqdm=False)
        return [_cut(list(output.outputs[0].token_ids), ends) for output in found]

    return decode


def _ends(folder: Path) -> tuple[int, ...]:
    """Ids that end a turn, read as transformers would read them of a loaded model."""

    class Configured:
        generation_config = GenerationConfig.from_pretrained(folder)

    return chat.end_of_turn(folders.load_tokenizer(folder), Configured)


def _parameters(
    vllm: Any, sampling: SamplingConfig, max_new_tokens: int, ends: Sequence[int], generator: np.random.Generator
) -> Any:
    return vllm.SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        max_tokens=max_new_tokens,
        stop_token_ids=list(ends),
        seed=int(generator.integers(2**63)),
        detokenize=False,
    )


def _cut(ids: list[int], ends: Sequence[int]) -> Continuation:
    """vLLM leaves the token that ended the turn in place."""
    if ids and ids[-1] in ends:
        return Continuation(tuple(ids[:-1]), "eos")
    return Continuation(tuple(ids), "length")
