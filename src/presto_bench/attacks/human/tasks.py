"""The requests that a person works on in human RAP, with the model behind the screen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from presto_bench import tables
from presto_bench.attacks.base import Request, held_out_requests, sample
from presto_bench.attacks.human import sessions
from presto_bench.attacks.human.people import Target
from presto_bench.attacks.human.screen import Task
from presto_bench.config.attacks import Human
from presto_bench.config.models import ModelConfig
from presto_bench.fingerprint import content_hash
from presto_bench.lm import chat, finite, folders, models, vocabulary
from presto_bench.lm.rollback import Rollback
from presto_bench.measures.ranks import top_k, without


@dataclass(frozen=True)
class Study:
    """What a person works on. target: the arm; requests: how many, of those that the attack asks; title: what the screen calls the target; blind: as in screen.Task."""

    person: str
    level: str
    target: Target
    requests: int | None
    title: str
    blind: bool = False


def tasks(results: Path, model: ModelConfig, attack: Human, study: Study, now: str) -> Iterator[Task]:
    """Held-out requests that this person has not finished, in a fixed order; in a blind study one to practise on first."""
    target = study.target
    folder = results / "models" / target.model / target.arm / f"seed{target.seed}"
    loaded, tokenizer = models.load(folder, model.decode_dtype)
    weights, ends = content_hash(folder), chat.end_of_turn(tokenizer, loaded)
    barred = vocabulary.barred(tokenizer, loaded.config.get_text_config().vocab_size, ends)
    form = folders.chat_format(folder, model.chat.format)
    every = sorted(_requests(results, model, attack), key=lambda request: request.prompt_id)
    asked = every[: study.requests]

    def text(ids: Sequence[int]) -> str:
        return chat.decode(tokenizer, list(ids))

    def task(request: Request, path: Path, title: str, done: int) -> Task:
        encoded = chat.encode(tokenizer, request.prompt, form, request.prefill)
        chat.require_fit(encoded, attack.max_steps, models.context_length(loaded), request.prompt_id)
        start = sessions.Start(
            study.person,
            target.model,
            target.arm,
            target.seed,
            weights,
            request.prompt_id,
            encoded.prefill_ids,
            attack.k,
            attack.max_steps,
            now,
            study.level,
        )
        candidates = Candidates(loaded, encoded.ids, attack.k, barred)
        return Task(request.prompt, start, path, ends, candidates, text, title, done, len(asked), study.blind)

    if study.blind:
        tried = every[len(asked) : len(asked) + 1] or every[-1:]
        path = sessions.practice_path(attack.sessions, study.person, tried[0].prompt_id)
        if not _finished(path, None, ends):
            yield task(tried[0], path, f"{study.title}, for practice", 0)
    for done, request in enumerate(asked):
        path = sessions.path_of(attack.sessions, target.model, target.arm, target.seed, study.person, request.prompt_id)
        if not _finished(path, weights, ends):
            yield task(request, path, study.title, done)


def _requests(results: Path, model: ModelConfig, attack: Human) -> list[Request]:
    """Those that the workflow grades of this attack."""
    data = results / "data"
    found = held_out_requests(
        tables.read(data / "prompts.parquet", "prompts"),
        tables.read(data / model.name / "answers.parquet", "answers"),
        tables.read(data / "prefills.parquet", "prefills"),
    )
    return sample(found, attack.requests, f"attacks.{attack.name}.requests") if attack.requests else found


def _finished(path: Path, weights: str | None, ends: Sequence[int]) -> bool:
    """Whether a session is over. weights: what it must have been recorded on; None: anything."""
    if not path.exists():
        return False
    start, events = sessions.read(path)
    if weights is not None and start.weights != weights:
        raise sessions.other_weights(path, start)
    return sessions.replay(start, events, ends)[-1].finish is not None


class Candidates:
    """The k best next tokens and their probabilities, with a cache that follows the person back and forth."""

    def __init__(self, model: Any, ids: Sequence[int], k: int, barred: Sequence[int] = ()):
        self.model, self.ids, self.k, self.barred = model, list(ids), k, list(barred)
        self.cache = Rollback(model, 1)

    @torch.inference_mode()
    def __call__(self, picked: tuple[int, ...]) -> list[tuple[int, float]]:
        hidden = self.cache.last_hidden({0: [*self.ids, *picked]})
        logits = finite.require(self.model.get_output_embeddings()(hidden), self.model)
        best = top_k(without(logits, self.barred), self.k)
        probabilities = logits.float().softmax(-1).gather(-1, best)
        return list(zip(best[0].tolist(), probabilities[0].tolist(), strict=True))
