"""What is unusual about a model, and what follows for each stage: `presto-bench doctor`, and once a model in the manifest of its fetch."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from presto_bench.config.models import ChatFormat, HubModel
from presto_bench.errors import UserError
from presto_bench.lm import chat, finite, folders, forward, models, precision, reading, template, vocabulary
from presto_bench.training import attention_mass

REVISION = 40  # hexadecimal digits of a commit


@dataclass(frozen=True)
class Finding:
    """what: is unusual; follows: for whom. ok: False where the model cannot be used as it is."""

    what: str
    follows: str
    ok: bool = True

    def __str__(self) -> str:
        return f"{self.what}: {self.follows}"


def show(model: str) -> tuple[str, bool]:
    """(what the command prints, whether the model can be used). model: a folder, or hub:ID@REVISION."""
    with TemporaryDirectory() as scratch:
        try:
            folder = _fetched(model, Path(scratch)) if model.startswith("hub:") else Path(model)
            found = of_folder(folder)
        except UserError as error:
            return f"{model}\n  REFUSED  {error.what}\n           {error.mend}\nit cannot be used as it is", False
    lines = [f"  {'note   ' if finding.ok else 'REFUSED'}  {finding.what}\n           {finding.follows}" for finding in found]
    usable = all(finding.ok for finding in found)
    closing = "it can be used as it is" if usable else "it cannot be used as it is"
    return "\n".join([model, *(lines or ["  nothing unusual"]), closing]), usable


def _fetched(model: str, scratch: Path) -> Path:
    identity, _, revision = model.removeprefix("hub:").partition("@")
    if not re.fullmatch(rf"[0-9a-f]{{{REVISION}}}", revision):
        raise UserError(
            model, "a hub's model is named with its commit", f"hub:ID@REVISION, with the {REVISION} digits of the commit"
        )
    entry = HubModel(name="model", kind="hub", id=identity, revision=revision)
    models.fetch(entry, scratch / "model", Path("downloads"))
    return scratch / "model"


def of_folder(folder: Path, form: ChatFormat | None = None) -> list[Finding]:
    """All that was found. What no stage can do with is an error by itself: no template, weights that are not whole."""
    if folders.is_served(folder):
        return [Finding("it is behind an endpoint", "it is asked and never loaded: no training, gradients or attention")]
    folders.require_usable(folder)
    model, tokenizer = models.load(folder, precision.AUTO, "cpu")
    return of(model, tokenizer, form or ChatFormat())


def of(model: Any, tokenizer: Any, form: ChatFormat) -> list[Finding]:
    return [
        *_of_template(tokenizer, form),
        *_of_ends(model, tokenizer),
        *_of_vocabulary(model, tokenizer),
        *_of_network(model, tokenizer),
    ]


def _of_template(tokenizer: Any, form: ChatFormat) -> Iterator[Finding]:
    prompt = template.render(tokenizer, [{"role": "user", "content": "Hello"}], form)
    if template.dated(tokenizer):
        yield Finding(
            "its template writes today's date",
            f"every prompt carries {form.date} instead; `chat: {{date: …}}` sets another",
        )
    if template.opens_reasoning(prompt):
        yield Finding(
            "its template opens a block of reasoning",
            "the block is closed, empty, before every answer and prefill; with `chat: {thinking: true}` a request without a prefill leaves it open, and what is reasoned is not graded",
        )
    if "enable_thinking" in tokenizer.get_chat_template():
        yield Finding(
            "its template can be told to reason or not",
            "set `chat: {thinking: false}` for its own empty block before an answer; null leaves the template's default",
        )
    try:
        template.render(
            tokenizer, [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}], ChatFormat()
        )
    except UserError:
        yield Finding("its template knows no system role", "leave `chat: {system: null}`")


def _of_ends(model: Any, tokenizer: Any) -> Iterator[Finding]:
    written = template.turn_end(tokenizer)
    ends = chat.end_of_turn(tokenizer, model)
    names = {i: str(tokenizer.convert_ids_to_tokens(i)) for i in ends}
    if written is None:
        yield Finding(
            f"its template ends a turn with {_behind(tokenizer)}, which is no control token",
            f"training teaches {tokenizer.eos_token} as the end, and decoding stops there",
        )
    elif set(ends) != {written}:
        others = ", ".join(names[i] for i in ends if i != written)
        yield Finding(
            f"its template ends a turn with {names[written]}, tokenizer or generation config with {others}",
            f"training teaches {names[written]}; decoding stops at each of them",
        )


def _behind(tokenizer: Any) -> str:
    try:
        return repr(template.behind_an_answer(tokenizer, ChatFormat(), header=False))
    except UserError:  # a template that knows no finished conversation
        return "nothing that could be seen"


def _of_vocabulary(model: Any, tokenizer: Any) -> Iterator[Finding]:
    width, known = model.get_input_embeddings().weight.shape[0], len(tokenizer)
    beyond = vocabulary.beyond(tokenizer, width)
    if beyond:  # markers alone: of others the model would not have been loaded
        yield Finding(
            f"{', '.join(beyond[:3])} have no row in its embeddings", "no text is encoded to them, and nobody picks them"
        )
    if width > known:
        yield Finding(f"its embeddings have {width - known} rows beyond the tokenizer", "no rank attack picks them")
    special = set(tokenizer.all_special_ids)
    more = vocabulary.control_ids(tokenizer) - special
    if more:
        named = sorted(tokenizer.convert_ids_to_tokens(sorted(more)))
        shown = ", ".join(named[:3] if len(named) <= 3 else [*named[:3], "…"])
        yield Finding(
            f"{len(more)} control tokens are not among its named special ones ({shown})", "no rank attack picks them either"
        )
    if chat.adds_space(tokenizer):
        yield Finding(
            "its tokenizer puts a space before each text", "a response is decoded once, as a whole, together with its prefill"
        )


def _of_network(model: Any, tokenizer: Any) -> Iterator[Finding]:
    if not reading.takes_rows_apart(model):
        yield Finding(
            "it keeps a running state", "the attacks autorap, oracle and human cannot take tokens back: leave them out"
        )
    obstacle = attention_mass.obstacle_to_fused(model)
    if obstacle:
        yield Finding(f"PRESTO cannot use fused attention: {obstacle}", "set `presto: {attention: eager}`")
    if model.dtype == torch.float16:
        yield Finding("its weights are float16", "logits may overflow; a job that meets one stops and names it")
    row = chat.encode(tokenizer, "How do I make bread?", ChatFormat(), "", "Mix flour and water.")
    try:
        forward.response_logits(model, [row], chat.filler(tokenizer))
    except finite.NotFinite as error:
        yield Finding(error.what, error.mend, ok=False)
