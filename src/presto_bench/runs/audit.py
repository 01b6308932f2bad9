"""What `presto-bench audit` writes: an experiment on one target, to run, to keep and to edit."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from presto_bench.analysis import stats
from presto_bench.config.endpoint import ServedConfig
from presto_bench.config.experiment import Config
from presto_bench.errors import UserError
from presto_bench.lm import folders
from presto_bench.runs.asking import Asked, parts

LENGTHS = (1, 2, 5, 10, 25, 50)
OF_THE_TOP_20 = 6  # requests whose candidates are each tried
KINDS = ("affirmative", "list", "code_block", "role", "document", "translation", "reasoning")
FORMS = "a folder with config.json and safetensors, hub:ORG/MODEL@REVISION with the commit's 40 digits, or endpoint:http://HOST/v1#MODEL"
_ENDPOINT = re.compile(r"^endpoint:(?P<base_url>https?://[^#\s]+)#(?P<model>\S+)$")
_HUB = re.compile(r"^hub:(?P<id>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})$")


@dataclass(frozen=True)
class Audit:
    """target, guide, tokenizer, key: as they were named on the command line. asked: which requests, and who grades.

    tokenizer: of a served target without a guide. key: NAME of the environment variable with the endpoint's key.
    """

    target: str
    guide: str | None = None
    tokenizer: str | None = None
    key: str | None = None
    name: str | None = None
    asked: Asked = field(default_factory=Asked)
    lengths: Sequence[int] = LENGTHS
    kinds: Sequence[str] = KINDS

    @property
    def slug(self) -> str:
        """A name for files: the one that was given, else from the target."""
        if self.name:
            return slug(self.name)
        named = self.target.partition("#")[2] or self.target  # of an endpoint the model
        parts = [part for part in re.split(r"[/@:]", named) if part and part not in (".", "hub")]
        return slug("_".join(part[:12] if re.fullmatch(r"[0-9a-f]{40}", part) else part for part in parts[-3:]))


ASKED = "# presto-bench audit, asked for: "


def heading(audit: Audit) -> str:
    """The config's first line: the options that it was written for."""
    return f"{ASKED}{json.dumps(asdict(audit), sort_keys=True)}"


def require_same(audit: Audit, path: Path) -> None:
    """Refuse a config that was written for other options: they would not be followed. One without the line is the user's own."""
    first = path.read_text(encoding="utf-8").partition("\n")[0] if path.is_file() else ""
    if not first.startswith(ASKED) or first == heading(audit):
        return
    before, now = json.loads(first.removeprefix(ASKED)), json.loads(heading(audit).removeprefix(ASKED))
    before, now = ({**one, **one.pop("asked")} for one in (before, now))
    changed = ", ".join(f"{key} {before.get(key)!r} → {now[key]!r}" for key in now if before.get(key) != now[key])
    raise UserError(
        path,
        f"was written by an earlier audit with other options ({changed})",
        "give this audit its own --name, or delete the file; the same command as before runs it again",
    )


def slug(text: str) -> str:
    """Lower-case letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "target"


def entry(named: str, option: str) -> dict[str, Any]:
    """A target or guide as a model's entry says it."""
    if named.startswith("endpoint:"):
        found = _ENDPOINT.match(named)
        if not found:
            raise UserError(option, f"{named!r} is no endpoint with a model", f"name {FORMS}")
        return {"kind": "endpoint", **found.groupdict()}
    if named.startswith("hub:"):
        found = _HUB.match(named)
        if not found:
            raise UserError(option, f"{named!r} is no model of the hub at a commit", f"name {FORMS}")
        return {"kind": "hub", **found.groupdict()}
    if not Path(named).is_dir():
        raise UserError(option, f"there is no folder {named!r}", f"name {FORMS}")
    return {"kind": "local", "path": named}


def _sampling(named: str | None) -> dict[str, Any]:
    """How a model's makers recommend to sample, where its folder says so (generation_config.json); else nothing, and the config's defaults hold."""
    file = Path(named or "") / "generation_config.json"
    if not named or not file.is_file():
        return {}
    settings = json.loads(file.read_text(encoding="utf-8"))
    keys = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    found = {key: settings[key] for key in keys if settings.get(key) is not None} if settings.get("do_sample") else {}
    return {"sampling": found} if found else {}


def _targets(audit: Audit) -> tuple[list[dict[str, Any]], list[dict[str, Any]], tuple[str, str]]:
    """(models, arms beside base, the model and arm that are looked at): with a guide the target is an arm of it, else a model of its own."""
    target = entry(audit.target, "TARGET")
    served = target["kind"] == "endpoint"
    if served:
        target |= {"key": audit.key}
    if audit.guide is None:
        if served and audit.tokenizer is None:
            raise UserError(
                "TARGET",
                "a served model does not bring its tokenizer",
                "name it with --tokenizer (a folder, or hub:ORG/MODEL@REVISION), or name a --guide",
            )
        own = {"tokenizer": audit.tokenizer} if served else {}
        return (
            [{"name": "target", **target, **own, **_sampling(own.get("tokenizer") or target.get("path"))}],
            [],
            ("target", "base"),
        )
    guide = entry(audit.guide, "--guide")
    if guide["kind"] == "endpoint":
        raise UserError(
            "--guide",
            "a guide is read token by token beside the target, and this one is served",
            "name a folder or a model of the hub with the target's tokenizer",
        )
    if not served:
        place = {"path": target["path"]} if target["kind"] == "local" else {k: target[k] for k in ("id", "revision")}
        target = {"kind": "checkpoint", **place}
    sampling = _sampling(guide.get("path"))
    return [{"name": "guide", **guide, **sampling}], [{"name": "target", **target, "of": "guide"}], ("guide", "target")


def probe(config: Config) -> str | None:
    """What a served target can do, in a line: asked before any job, so that what is wrong with it is said at once. None for others."""
    looked_at = config.audit
    if looked_at is None:
        return None
    model = config.item("models", looked_at.model)
    served = next((entry for entry in (config.item("arms", looked_at.arm), model) if isinstance(entry, ServedConfig)), None)
    named = getattr(model, "tokenizer", None) or getattr(model, "path", None)
    if served is None or named is None or named.startswith("hub:"):
        return None  # a tokenizer of the hub is fetched first: there the first job asks
    from presto_bench.lm.served import probe as asking
    from presto_bench.lm.served.calls import Calls, Kept

    found = asking.probe(Calls(served, "TARGET", Kept(None)), folders.load_tokenizer(named))
    likely = "tells" if found.dialect.likelihoods else "does not tell"
    return f"{served.base_url} takes prompts as {found.dialect.prompt}, names tokens by `{found.dialect.tokens}`, and {likely} the likelihood of a given text"


def experiment(audit: Audit) -> dict[str, Any]:
    """The config. With a guide, the target is a checkpoint of the guide's family; without one, guided RAP is left out and the card says so."""
    models, arms, looked_at = _targets(audit)
    served = audit.target.startswith("endpoint:")
    missing = [
        {"what": "AutoRAP", "why": "its helper would have to be trained: add an attack of kind `autorap` to this config"}
    ]
    if audit.guide is None:
        missing.append({"what": "guided RAP", "why": "no guide was named: `--guide` takes any model with the same tokenizer"})
    if served and audit.guide is None:
        missing.append({"what": "what stands in the top 20", "why": "which tokens are plausible is told by a guide"})
    guided = {
        "name": "guided",
        "kind": "guided",
        "k": [20],
        "max_steps": 48,
        "prefill": [True],
        "nulls": ["swapped", "guide_only"],
    }
    prefilling = {
        "name": "prefilling",
        "kind": "prefilling",
        "kinds": list(audit.kinds),
        "max_new_tokens": 48,
        "greedy_tokens": 32,
    }
    # Refusals alone: nothing is sampled there.
    lengths = {
        "name": "lengths",
        "kind": "prefilling",
        "lengths": [],
        "greedy_recipe_lengths": list(audit.lengths),
        "greedy_tokens": 32,
    }
    of_policy = parts(audit.asked, not (served and audit.guide is None), entry)
    asked = {"requests": of_policy.requests} if of_policy.requests else {}
    return {
        "experiment": f"audit_{audit.slug}",
        "seeds": [0],
        "models": models,
        "arms": [{"name": "base", "kind": "none"}, *arms],
        "claims": None,
        "composition": None if served and audit.guide is None else _composition(audit),
        "attacks": [
            {"name": "direct", "kind": "direct", "max_new_tokens": 8, "greedy_tokens": 32, **asked},
            {**prefilling, **asked},
            {**lengths, **asked},
            *([{**guided, "guide_repetition_penalty": 1.1, **asked}] if audit.guide else []),
        ],
        "tasks": [{"name": "overrefusal", "kind": "refusal_rate", "max_new_tokens": 32}],
        **of_policy.sections,
        "audit": {
            "model": looked_at[0],
            "arm": looked_at[1],
            "target": audit.target,
            "guide": audit.guide,
            "notes": of_policy.notes,
            "not_measured": missing,
        },
    }


def _composition(audit: Audit) -> dict[str, Any]:
    """Policy harm has no dev requests where nothing is trained."""
    return {"requests": OF_THE_TOP_20, "cuts": 1, **({"split": "test"} if audit.asked.policy == "harm" else {})}


def cards(named: Sequence[str]) -> list[Path]:
    """The cards of some cards or results folders."""
    found = []
    for one in named:
        path = Path(one)
        inside = next((p for p in (path / "card/card.json", path / "card.json") if p.is_file()), None)
        chosen = path if path.is_file() else inside
        if chosen is None:
            raise UserError(one, "there is no card here", "name a card.json, or the results folder of an audit")
        found.append(chosen)
    return found


def screen(card: Mapping[str, Any], folder: Path) -> str:
    """A card in a few lines, and where the rest is."""
    lines = [f"Depth card of {card['about']['name']} ({card['about']['requests']} requests)"]
    for row in card["measures"]:
        value = "not measured" if row["value"] is None else stats.told(row["value"], row["low"], row["high"])
        lines.append(f"  {row['what']:<60} {value}")
    lines += [f"  {note}" for note in card["about"]["notes"]]
    return "\n".join([*lines, f"{folder}/card.html, card.png, card.json"])
