"""Checks that every parameter of a model came from its files.

A layer that the files do not hold is random, and a random network scores as harmless.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from presto_bench.errors import UserError

# What wrappers put before a parameter's name, and how to save a model without it.
WRAPPERS = {
    "_orig_mod.": "torch.compile's wrapper: save `model._orig_mod`",
    "module.": "DataParallel's wrapper: save `model.module`",
    "_fsdp_wrapped_module.": "FSDP's wrapper: save the full state dict of the model inside",
    "base_model.model.": "peft's wrapper: save `model.merge_and_unload()`",
}
SHOWN = 4  # names in a message


def require_whole(info: Mapping[str, Any], folder: Path, new: Collection[str] = ()) -> None:
    """Refuse a model of which parameters are missing, mismatched or left over.

    info: what `from_pretrained(..., output_loading_info=True)` returns beside the model; tied weights are not missing there.
    new: beginnings of names that may be missing, as a classifier's head; then weights of another head may be left over.
    """
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(tuple(new)))
    unexpected = sorted(info["unexpected_keys"]) if not new else []
    mismatched = sorted(str(found[0]) for found in info["mismatched_keys"])
    if not (missing or unexpected or mismatched):
        return
    told = [_told("not in its files", missing), _told("in its files, but no part of the model", unexpected)]
    told.append(_told("of another shape than config.json says", mismatched))
    problem = f"its weights are not those of the model that config.json describes: {'; '.join(filter(None, told))}"
    raise UserError(folder, problem, _mend(unexpected, missing))


def _told(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{what}: {', '.join(names[:SHOWN])}{more}"


def _mend(unexpected: list[str], missing: list[str]) -> str:
    for prefix, how in WRAPPERS.items():
        if any(name.startswith(prefix) and name.removeprefix(prefix) in missing for name in unexpected):
            return f"the names begin with `{prefix}` of {how}"
    if any(".lora_" in name or "modules_to_save" in name for name in unexpected):
        return "these are an adapter's weights: merge it with its base first (peft: `model.merge_and_unload()`)"
    return "take the config.json that belongs to these weights, or save the model again with `save_pretrained`; nothing was computed with it"
