"""What the untouched model knows of what is forbidden: its own good answers, the recipes of the default stand-in."""

from pathlib import Path
from typing import Any

from presto_bench import tables
from presto_bench.errors import UserError
from presto_bench.lm import chat


def recipes(prompts: Path, answers: Path, tokenizer: Any, split: str) -> tuple[dict[str, str], dict[str, list[int]]]:
    """prompt_id -> prompt, and -> ids of the untouched model's own recipe, where it has a good one. From the tables of these names."""
    found = tables.read(answers, "answers").merge(tables.read(prompts, "prompts"), on="prompt_id")
    kept = found[found["kept"] & (found["role"] == "harmful") & (found["split"] == split)].sort_values("prompt_id")
    if kept.empty:
        raise UserError(
            answers,
            f"no {split} recipe is left to look behind",
            f"raise standin.dishes.{split} (policy facts: standin.facts.{split}), or set composition: null and attack without a helper",
        )
    harmful = {r.prompt_id: chat.encode_text(tokenizer, r.answer) for r in kept.itertuples()}
    return dict(zip(kept["prompt_id"], kept["prompt"], strict=True)), harmful
