"""Answers of a known model that come with the package, so that every machine asks the same held-out requests (policies/data/answers).

Each file has a twin with its provenance: the model's bytes, how it decoded, what made the file, and the file's own hash.
"""

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from presto_bench.config.answers import AnswersConfig
from presto_bench.config.models import ModelConfig
from presto_bench.errors import UserError

FOLDER = Path(__file__).parent / "data" / "answers"
MEND = "set standin.answers.source: own, and the model answers itself (minutes on a GPU, ten or more on a CPU)"


@dataclass(frozen=True)
class Answer:
    """A model's answer to one request. finish: eos or length; ids: what it decoded to the text; log_likelihood: its mean, in nats a token."""

    prompt_id: str
    text: str
    finish: str
    ids: tuple[int, ...]
    log_likelihood: float


def settings(model: ModelConfig, config: AnswersConfig) -> dict[str, Any]:
    """What the answers depend on beside the requests."""
    return {
        "sha256": getattr(model, "sha256", None),
        "chat": model.chat.model_dump(mode="json"),
        "sampling": model.sampling.model_dump(mode="json"),
        "max_new_tokens": config.max_new_tokens,
    }


def obstacle(model: ModelConfig, config: AnswersConfig) -> str | None:
    """Why no shipped answers can be taken for this model; None if they can."""
    wanted = settings(model, config)
    known = _provenance(model)
    if known is None:
        return "no answers of this model are shipped"
    different = sorted(key for key in wanted if known["settings"][key] != wanted[key])
    if different:
        return f"the shipped answers were made with other settings: {', '.join(different)}"
    path = FOLDER / known["file"]
    if hashlib.sha256(path.read_bytes()).hexdigest() != known["file_sha256"]:
        return f"{path} was edited: its hash is not the one that its provenance says"
    return None


def file_of(model: ModelConfig) -> Path | None:
    """The file with a model's answers, if any are shipped."""
    known = _provenance(model)
    return FOLDER / known["file"] if known else None


def given() -> Path:
    """The file of texts that any model may be measured on."""
    return FOLDER / str(_provenances()[0]["file"])


def read(path: Path) -> dict[str, Answer]:
    """prompt_id -> answer."""
    with open(path, encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    answers = [
        Answer(
            row["prompt_id"],
            row["answer"],
            row["finish"],
            tuple(map(int, row["token_ids"].split())),
            float(row["log_likelihood"]),
        )
        for row in rows
    ]
    return {answer.prompt_id: answer for answer in answers}


def write(path: Path, answers: Mapping[str, Answer], provenance: Mapping[str, Any]) -> None:
    """The file and its twin."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["prompt_id", "finish", "log_likelihood", "answer", "token_ids"])
        for answer in sorted(answers.values(), key=lambda answer: answer.prompt_id):
            ids = " ".join(map(str, answer.ids))
            writer.writerow([answer.prompt_id, answer.finish, f"{answer.log_likelihood:.5f}", answer.text, ids])
    found = {"file": path.name, "file_sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **provenance}
    path.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def require_all(answers: Mapping[str, Answer], prompt_ids: list[str], path: Path) -> None:
    """Whether every request has its answer; a list that was edited since asks others."""
    absent = [prompt_id for prompt_id in prompt_ids if prompt_id not in answers]
    if absent:
        raise UserError(path, f"no shipped answer to {len(absent)} of {len(prompt_ids)} requests ({absent[0]} is one)", MEND)


def _provenance(model: ModelConfig) -> dict[str, Any] | None:
    """That of the answers of a model's very bytes."""
    own = getattr(model, "sha256", None)
    return next((known for known in _provenances() if own is not None and known["settings"]["sha256"] == own), None)


@cache
def _provenances() -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]
