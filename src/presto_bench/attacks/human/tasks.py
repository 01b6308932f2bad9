"""The requests that a person works on in human RAP, with the model behind the screen."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from presto_bench import tables
from presto_bench.attacks.base import held_out_requests
from presto_bench.attacks.human import sessions
from presto_bench.attacks.human.screen import Task
from presto_bench.config.attacks import Human
from presto_bench.config.models import ModelConfig
from presto_bench.fingerprint import content_hash
from presto_bench.lm import chat, finite, folders, models, vocabulary
from presto_bench.lm.rollback import Rollback
from presto_bench.measures.ranks import top_k, without


def tasks(
    results: Path, folder: Path, model: ModelConfig, attack: Human, arguments: argparse.Namespace, now: str
) -> Iterator[Task]:
    """Held-out requests that this person has not finished, in a fixed order."""
    loaded, tokenizer = models.load(folder, model.decode_dtype)
    weights, ends = content_hash(folder), chat.end_of_turn(tokenizer, loaded)
    barred = vocabulary.barred(tokenizer, loaded.config.get_text_config().vocab_size, ends)
    form = folders.chat_format(folder, model.chat.format)
    data = results / "data"
    requests = held_out_requests(
        tables.read(data / "prompts.parquet", "prompts"),
        tables.read(data / model.name / "answers.parquet", "answers"),
        tables.read(data / "prefills.parquet", "prefills"),
    )

    def text(ids: Sequence[int]) -> str:
        return chat.decode(tokenizer, list(ids))

    for request in sorted(requests, key=lambda r: r.prompt_id)[: arguments.requests]:
        path = sessions.path_of(attack.sessions, model.name, arguments.arm, arguments.seed, arguments.person, request.prompt_id)
        if path.exists():
            start, events = sessions.read(path)
            if start.weights != weights:
                raise sessions.other_weights(path, start)
            if sessions.replay(start, events, ends)[-1].finish is not None:
                continue
        encoded = chat.encode(tokenizer, request.prompt, form, request.prefill)
        chat.require_fit(encoded, attack.max_steps, models.context_length(loaded), request.prompt_id)
        start = sessions.Start(
            arguments.person,
            model.name,
            arguments.arm,
            arguments.seed,
            weights,
            request.prompt_id,
            encoded.prefill_ids,
            attack.k,
            attack.max_steps,
            now,
        )
        yield Task(request.prompt, start, path, ends, Candidates(loaded, encoded.ids, attack.k, barred), text)


class Candidates:
    """The k best next tokens and their probabilities, with a cache that follows the person back and forth."""

    def __init__(self, model: torch.nn.Module, ids: Sequence[int], k: int, barred: Sequence[int] = ()):
        self.model, self.ids, self.k, self.barred = model, list(ids), k, list(barred)
        self.cache = Rollback(model, 1)

    @torch.inference_mode()
    def __call__(self, picked: tuple[int, ...]) -> list[tuple[int, float]]:
        hidden = self.cache.last_hidden({0: [*self.ids, *picked]})
        logits = finite.require(self.model.get_output_embeddings()(hidden), self.model)
        best = top_k(without(logits, self.barred), self.k)
        probabilities = logits.float().softmax(-1).gather(-1, best)
        return list(zip(best[0].tolist(), probabilities[0].tolist(), strict=True))
