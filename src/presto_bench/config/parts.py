"""What every part of a config is made of: strict models, names, one spelling as JSON."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
# auto: float32 on a CPU, bfloat16 on a GPU that has it; the job resolves it on the device where it runs (precision.py)
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Autocast = Literal["auto", "bfloat16"] | None
Only = Annotated[list[Name] | None, Field(description="models that it is for, by name; null: all of them")]
UNTOUCHED = "untouched"  # the model as it was fetched, before any alignment of ours: an arm without an entry
UNTAUGHT = "untaught"  # policy `facts`: what was fetched, before it was taught the invented world
OWN = "own"  # a helper that learns from the very arm it attacks; answers and refusals that a model writes itself


class Strict(BaseModel):
    """Unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Item(Strict):
    """One entry of a named list."""

    name: Name
    kind: str

    @property
    def spec(self) -> str:
        """Canonical JSON of just this item: what `params.spec` of its rules is made of."""
        return canonical(self.model_dump(mode="json"))


_DIGITS = dict(zip("0123456789", ["Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"], strict=True))


def in_letters(name: str) -> str:
    """A name in letters alone, as LaTeX's macros want it: digits spelled, each word with a capital."""
    words = re.findall(r"[A-Za-z]+|[0-9]", name)
    return "".join(_DIGITS[word] if word in _DIGITS else word[0].upper() + word[1:] for word in words)


def canonical(value: Any) -> str:
    """JSON with one spelling: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`upper` over `lower`, mapping by mapping: a part that both have is put together in the same way."""
    shared = [key for key in upper if isinstance(upper[key], Mapping) and isinstance(lower.get(key), Mapping)]
    return {**lower, **upper, **{key: over(lower[key], upper[key]) for key in shared}}
