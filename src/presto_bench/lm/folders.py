"""A model's folder on disk: its tokenizer, links to it, and the settings of a defence at decoding time. Loads no weights and no torch."""

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from presto_bench.errors import UserError
from presto_bench.lm.chat import ChatFormat

FORMAT = "chat_format.json"  # beside the weights of a helper that is asked by an entry of its own
DECODING = "decoding.json"  # beside the weights of an arm that is defended at decoding time
ENDPOINT = "endpoint.json"  # in place of weights, where the model is served
SAFE_DECODING, EXPERT = "safe_decoding", "expert"


def is_served(folder: str | Path) -> bool:
    """Whether a folder stands for a model behind an endpoint."""
    return (Path(folder) / ENDPOINT).is_file()


def load_tokenizer(folder: str | Path, template_of: Path | None = None, chats: bool = True) -> Any:
    """A folder's tokenizer with its chat template. template_of: the folder whose template it is given where it has none of its own.

    chats: whether it must have one; base models that only go on with a text have none.
    """
    from transformers import AutoTokenizer  # here: it takes seconds, and some jobs only link folders

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(folder, f"no loadable tokenizer: {error}", "put tokenizer.json beside the weights") from error
    if not tokenizer.chat_template and template_of is not None:
        tokenizer.chat_template = load_tokenizer(template_of).chat_template
    if chats and not tokenizer.chat_template:
        raise UserError(
            folder, "this model has no chat template", "use a chat model, or put a chat_template.jinja beside its tokenizer"
        )
    return tokenizer


def obstacle(folder: Path) -> tuple[str, str] | None:
    """(what, mend) of what makes a folder useless before anything of it is loaded; None where nothing is seen."""
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        return (
            "this is an adapter, not a model",
            "merge it with its base first (peft: `model.merge_and_unload()`), and save that",
        )
    if not (folder / "config.json").is_file():
        return "no model here (config.json is missing)", "correct the path, or put the model there"
    try:
        settings = json.loads((folder / "config.json").read_text())
    except json.JSONDecodeError as error:
        return f"its config.json is no JSON: {error}", "fetch or save the model again"
    quantised = settings.get("quantization_config")
    if quantised:
        return (
            f"its weights are quantised ({quantised.get('quant_method', 'unknown method')}): they can neither be trained nor merged",
            "take the model as it was before, in safetensors of 16 or 32 bits",
        )
    if not any(folder.glob("*.safetensors")):
        others = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
        told = "its weights are pickles, which may run code" if others else "it has no *.safetensors"
        return told, "save it again with `save_pretrained`, which writes safetensors"
    return None


# Without a list of their layers' kinds in config.json.
_RECURRENT = {
    "mamba",
    "mamba2",
    "falcon_mamba",
    "rwkv",
    "xlstm",
    "recurrent_gemma",
    "jamba",
    "bamba",
    "zamba",
    "zamba2",
    "falcon_h1",
    "nemotron_h",
}


def keeps_state(folder: Path) -> bool:
    """Whether config.json tells of layers that keep a running state, from which no token can be taken back."""
    settings = text_settings(folder)
    kinds = set(settings.get("layer_types") or []) - {"full_attention", "sliding_attention"}
    return bool(kinds) or settings.get("model_type") in _RECURRENT


FAMILY = ("model_type", "hidden_size", "num_hidden_layers")


def other_family(folder: Path, of: Path) -> str | None:
    """How a model's config.json tells that it is no checkpoint of the model in `of`; None where nothing does."""
    mine, theirs = (text_settings(each) for each in (folder, of))
    apart = [f"{key} {mine.get(key)} instead of {theirs.get(key)}" for key in FAMILY if mine.get(key) != theirs.get(key)]
    return f"it is no checkpoint of its model: {', '.join(apart)}" if apart else None


def require_family(folder: Path, of: Path) -> None:
    found = other_family(folder, of)
    if found:
        raise UserError(folder, found, "name its own model in `of`, and add that to `models`")


def text_settings(folder: Path) -> dict[str, Any]:
    """config.json's part about the language model."""
    settings = json.loads((folder / "config.json").read_text())
    found = settings.get("text_config", settings)
    return {**found, "model_type": found.get("model_type", "").removesuffix("_text")}


def require_usable(folder: Path) -> None:
    found = obstacle(folder)
    if found:
        raise UserError(folder, *found)


def link(source: Path, folder: Path) -> None:
    """`source`'s files in another folder, shared on disk where the file system can."""

    def place(origin: str, copy: str) -> None:
        try:
            os.link(origin, copy)
        except OSError:
            shutil.copy2(origin, copy)

    # Snakemake's own mark of when a folder was made: shared, it would make the source look newer than what came from it.
    mark = shutil.ignore_patterns(".snakemake_timestamp")
    shutil.copytree(source, folder, copy_function=place, ignore=mark, dirs_exist_ok=True)


def defend(source: Path, folder: Path, defence: str) -> None:
    """`source`'s weights with a defence that whoever decodes with them applies."""
    link(source, folder)
    (folder / DECODING).write_text(json.dumps({"defence": defence}) + "\n")


def defend_with_expert(served: Path, expert: Path, folder: Path, alpha: float, sample_space: int) -> None:
    """`served`'s weights with an expert's beside them, which `load` blends."""
    link(served, folder)
    link(expert, folder / EXPERT)
    settings = {SAFE_DECODING: {"alpha": alpha, "sample_space": sample_space}}
    (folder / DECODING).write_text(json.dumps(settings) + "\n")


def decoding_settings(folder: str | Path) -> dict[str, Any]:
    """What stands beside the weights of an arm that is defended at decoding time; empty for others."""
    file = Path(folder) / DECODING
    return json.loads(file.read_text()) if file.exists() else {}


def note_format(folder: Path, chat: ChatFormat) -> None:
    """Beside a helper's weights: how it is asked, where its target is asked in another way."""
    (folder / FORMAT).write_text(json.dumps(asdict(chat)) + "\n")


def helper_format(folder: Path, target: ChatFormat) -> ChatFormat:
    """How the helper in `folder` is asked: as it was taught, else as its target."""
    file = folder / FORMAT
    return ChatFormat(**json.loads(file.read_text())) if file.exists() else target


def chat_format(folder: str | Path, plain: ChatFormat) -> ChatFormat:
    """How the model in `folder` is to be talked to: as its family is; under its own system prompt or its own defence if it has one."""
    settings = decoding_settings(folder)
    form = replace(plain, system=settings["system"]) if "system" in settings else plain
    return replace(form, reopen=True) if settings.get("defence") else form


def serve_under(folder: Path, system: str) -> None:
    """Note beside a model's weights the system prompt that it was trained with: whoever talks to it gives it that."""
    (folder / DECODING).write_text(json.dumps({**decoding_settings(folder), "system": system}) + "\n")
