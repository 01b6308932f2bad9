"""A served model in place of a loaded one: attacks and measures ask it the same questions.

Of each distribution only the likeliest tokens are known (`logprobs`). Logits are their log-probabilities, and -inf for every other token.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, GenerationConfig

from presto_bench import tables
from presto_bench.config.endpoint import ServedConfig
from presto_bench.config.models import SamplingConfig
from presto_bench.errors import UserError
from presto_bench.lm import folders, precision
from presto_bench.lm.chat import Encoded
from presto_bench.lm.served import dialect, probe
from presto_bench.lm.served.calls import Calls, Kept

LOOK_AGAIN = 2000  # calls after which it is asked again whether the model is still the same
BESIDE = ("config.json", "generation_config.json")  # of the tokenizer's folder


@dataclass(frozen=True)
class Said:
    """One continuation: ids, the end of the turn left out, and whether it ended by itself."""

    ids: tuple[int, ...]
    ended: bool


@dataclass(frozen=True)
class Told:
    """How likely a text is. first: logits (V,) on the bare prompt; logits (n, V) at the text's n tokens; ranks (n,) of these tokens, 1 the likeliest.

    The probability of tokens that the server does not name is spread evenly over them, so that named tokens keep theirs.
    """

    first: torch.Tensor
    logits: torch.Tensor
    ranks: tuple[int, ...]


class Served:
    """The model behind an endpoint. It has no weights, no gradients and no attention; `likelihoods` says whether texts can be measured."""

    has_likelihoods = False  # its distributions are cut
    dtype = torch.float32
    name_or_path = ""

    def __init__(self, calls: Calls, found: probe.Found, tokenizer: Any, folder: Path, device: str):
        self.calls, self.dialect, self.tokenizer = calls, found.dialect, tokenizer
        self.device, self.told = torch.device(device), found.told[probe.PREFILL]
        self.names, self.looked = dialect.Names(tokenizer), 0
        self.name_or_path = calls.config.model
        self.config = AutoConfig.from_pretrained(folder, local_files_only=True)
        self.generation_config = _generation(folder)
        text = self.config.get_text_config()
        if found.context:
            text.max_position_embeddings = min(found.context, getattr(text, "max_position_embeddings", None) or found.context)
        self.width = text.vocab_size
        probe.require_the_same(calls, tokenizer, found.dialect.prompt, self.told)

    @property
    def likelihoods(self) -> bool:
        return self.dialect.likelihoods

    def remarks(self) -> list[str]:
        """What a reader of its results should know; empty where there is nothing."""
        lost = self.names.unmatched
        return [f"{lost} likeliest tokens of its replies match no single token and were no candidates"] if lost else []

    def next_logits(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """(b, V) log-probabilities of what comes next behind each row."""
        asked = [dialect.next_tokens(self.calls.config.model, self._prompt(row), self.calls.config.logprobs) for row in rows]
        replies = self._replies(asked, rows, self._next)
        logits = torch.full((len(rows), self.width), -torch.inf)
        for place, reply in enumerate(replies):
            ids, values = zip(*reply.steps[0].best, strict=True)
            logits[place, list(ids)] = torch.tensor(values)
        return logits.to(self.device)

    def continued(
        self, rows: Sequence[Sequence[int]], tokens: int, ends: Sequence[int], sampling: SamplingConfig, seeds: Sequence[int]
    ) -> list[Said]:
        """What it says behind each row, drawn by the server itself. seeds: one a row."""
        asked = [
            dialect.continuation(self.calls.config.model, self._prompt(row), tokens, sampling, seed, ends)
            for row, seed in zip(rows, seeds, strict=True)
        ]
        return [self._said(reply, ends) for reply in self._replies(asked, rows, self._read)]

    def texts(self, rows: Sequence[Encoded]) -> list[Told]:
        """How likely each row's response is to it."""
        model, k = self.calls.config.model, self.calls.config.logprobs
        firsts = self.next_logits([row.prompt_ids for row in rows])
        found = self.calls.all([dialect.likelihoods(model, row.ids, k) for row in rows], _likelihoods_as_json)
        return [self._told(row, first, told) for row, first, told in zip(rows, firsts, found, strict=True)]

    def reader(self, rows: Sequence[Sequence[int]]) -> "ServedReader":
        return ServedReader(self, rows)

    def _told(self, row: Encoded, first: torch.Tensor, told: Sequence[Sequence[Sequence[float]]]) -> Told:
        own = told[row.response_start - 1 : len(row.ids) - 1]
        logits = torch.full((len(own), self.width), -torch.inf)
        ranks = []
        for place, (entries, token) in enumerate(zip(own, row.response_ids, strict=True)):
            logits[place, [int(entry[0]) for entry in entries]] = torch.tensor([entry[1] for entry in entries])
            ranks.append(next(int(entry[2]) for entry in entries if int(entry[0]) == token))
        return Told(spread(first[None].cpu())[0], spread(logits), tuple(ranks))

    def _prompt(self, row: Sequence[int]) -> Sequence[int] | str:
        return probe.prompt_of(self.tokenizer, row, self.dialect.prompt)

    def _read(self, raw: Mapping[str, Any]) -> dialect.Reply:
        return dialect.read(raw, self.names)

    def _next(self, raw: Mapping[str, Any]) -> dialect.Reply:
        """A reply with likeliest tokens; one without any is refused before it is kept, so that it is asked for again."""
        reply = self._read(raw)
        if reply.steps and reply.steps[0].best:
            return reply
        raise UserError(
            self.calls.place,
            "a reply without log-probabilities",
            "see that the server still gives them, then run snakemake again: replies so far are kept",
        )

    def _replies(
        self,
        asked: Sequence[dict[str, Any]],
        rows: Sequence[Sequence[int]],
        read: Callable[[Mapping[str, Any]], dialect.Reply],
    ) -> list[dialect.Reply]:
        if self.calls.made - self.looked >= LOOK_AGAIN:
            self.looked = self.calls.made
            probe.require_the_same(self.calls, self.tokenizer, self.dialect.prompt, self.told)
        kept = self.calls.all(asked, lambda raw: read(raw).as_json())
        replies = [dialect.Reply.of_json(one) for one in kept]
        for row, reply in zip(rows, replies, strict=True):
            # Sent as text, a row may be cut into other tokens; sent as ids, it is read as it is or not at all.
            if self.dialect.prompt == "ids" and reply.read not in (None, len(row)):
                raise UserError(
                    self.calls.place,
                    f"it read {reply.read} tokens where {len(row)} were sent",
                    "see what changes prompts on the way",
                )
        return replies

    def _said(self, reply: dialect.Reply, ends: Sequence[int]) -> Said:
        ids = [step.token for step in reply.steps]
        if None in ids:
            raise UserError(
                self.calls.place,
                "a token of its answer matches none of the tokenizer's",
                "name the tokenizer that belongs to the served model, or take a server that returns ids (vLLM, llama.cpp)",
            )
        stop = next((place for place, token in enumerate(ids) if token in ends), None)
        return Said(tuple(ids[:stop]), reply.ended or stop is not None)


class ServedReader:
    """Rows that a served model has read, one more token a row at a time: logits (b, V) of what comes next."""

    def __init__(self, model: Served, rows: Sequence[Sequence[int]]):
        self.model, self.rows = model, [list(row) for row in rows]
        self.logits = model.next_logits(self.rows)

    def read(self, tokens: torch.Tensor) -> None:
        self.rows = [[*row, token] for row, token in zip(self.rows, tokens.tolist(), strict=True)]
        self.logits = self.model.next_logits(self.rows)

    def take(self, positions: Sequence[int]) -> None:
        self.rows = [list(self.rows[position]) for position in positions]
        self.logits = self.logits[torch.tensor(positions, device=self.logits.device)]

    def leave(self, order: Sequence[int]) -> None:
        self.take(order)


def spread(logits: torch.Tensor) -> torch.Tensor:
    """Log-probabilities (n, V) in which -inf is replaced by an even share of what the others leave."""
    unknown = logits.isinf()
    rest = (1 - logits.exp().sum(-1, keepdim=True)).clamp(min=1e-9) / unknown.sum(-1, keepdim=True).clamp(min=1)
    return torch.where(unknown, rest.log(), logits)


def place(config: ServedConfig, where: str, tokenizer_folder: Path, folder: Path) -> dict[str, Any]:
    """Probe the endpoint and write its folder: the tokenizer, config.json for sizes, and how the endpoint is asked. where: in the config."""
    tokenizer = folders.load_tokenizer(tokenizer_folder)
    found = _known_again(probe.probe(Calls(config, where, Kept(None)), tokenizer), _calls_of(folder))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    for name in BESIDE:
        if (tokenizer_folder / name).is_file():
            (folder / name).write_bytes((tokenizer_folder / name).read_bytes())
    kept = {
        "place": where,
        "config": config.model_dump(mode="json", include=set(ServedConfig.model_fields)),
        "found": asdict(found),
    }
    (folder / folders.ENDPOINT).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return {"source": config.base_url, "model": config.model, "dialect": asdict(found.dialect)}


def _calls_of(folder: Path) -> Path:
    """Where the replies of a served model's folder are kept."""
    return folder.with_name(folder.name + ".calls")


def _known_again(found: probe.Found, calls: Path) -> probe.Found:
    """With the numbers that were told when this model was probed first, if it is the same one: replies are kept under them."""
    file = calls / "model.json"
    if file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))
        if all(probe.same(before.get(where, ()), best) for where, best in found.told.items()):
            return replace(found, told=before)
    tables.write_text(file, json.dumps(found.told) + "\n")
    return found


def load(folder: Path, tokenizer: Any, device: str | None) -> Served:
    """The served model of a folder. Its replies are kept in `<folder>.calls`."""
    kept = json.loads((folder / folders.ENDPOINT).read_text(encoding="utf-8"))
    config, told = ServedConfig.model_validate(kept["config"]), kept["found"]["told"]
    lists = {where: tuple((int(token), float(value)) for token, value in best) for where, best in told.items()}
    found = probe.Found(dialect.Dialect(**kept["found"]["dialect"]), kept["found"]["context"], lists)
    calls = Calls(config, kept["place"], Kept(_calls_of(folder)), json.dumps(told, sort_keys=True))
    return Served(calls, found, tokenizer, folder, device or precision.best_device())


def _generation(folder: Path) -> GenerationConfig:
    file = folder / "generation_config.json"
    return GenerationConfig.from_pretrained(folder, local_files_only=True) if file.is_file() else GenerationConfig()


def _likelihoods_as_json(raw: Any) -> list[list[list[float]]]:
    told = dialect.read_likelihoods(raw)
    if told is None:
        raise ValueError("a reply without the prompt's log-probabilities")
    return [[[token, value, rank] for token, (value, rank) in entry.items()] for entry in told]
