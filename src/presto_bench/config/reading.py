"""From a config file to a Config, or one clear error that names the key and the mend."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from presto_bench import registry
from presto_bench.config.experiment import LISTS, Config
from presto_bench.config.parts import Item, over
from presto_bench.errors import UserError


def read(path: Path) -> Config:
    """The config in a YAML file, checked."""
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(path, "there is no such config", "name one with --config") from error
    except yaml.YAMLError as error:
        raise UserError(path, f"not readable as YAML: {error}", "mend its syntax") from error
    return load(raw, str(path))


def load(raw: dict[str, Any], where: str = "config") -> Config:
    """Check `raw` and build the Config; the first mistakes are named with their keys and the mend."""
    lists = {section: _items(section, raw.get(section, []), where) for section in LISTS}
    config = validate(Config, {**raw, **lists}, where)
    # By name: what only refuses a config shapes no result, and so belongs to no stage's code (fingerprint.py follows imports).
    registry.load("presto_bench.config.references:check", where)(config, where)
    return config


def _items(section: str, entries: Any, where: str) -> list[Item]:
    if not isinstance(entries, list):
        raise UserError(f"{where}: {section}", "must be a list of {name, kind, …}", "write each entry after a `- `")
    if section == "arms":
        entries = inherit(entries, where)
    items = []
    for i, entry in enumerate(entries):
        key = f"{where}: {section}[{i}]"
        if not isinstance(entry, dict) or "kind" not in entry:
            raise UserError(key, "has no `kind`", "add `kind: …`" + (" or `inherits: …`" if section == "arms" else ""))
        items.append(validate(registry.config_class(section, str(entry["kind"]), f"{key}.kind"), entry, key))
    return items


def inherit(entries: list[Any], where: str) -> list[Any]:
    """Arms with their parents' fields filled in; of a field that is a mapping, key by key."""
    by_name = {entry.get("name"): entry for entry in entries if isinstance(entry, dict)}

    def resolved(entry: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
        parent = entry.get("inherits")
        own = {key: value for key, value in entry.items() if key != "inherits"}
        if parent is None:
            return own
        key = f"{where}: arms.{entry.get('name')}.inherits"
        if parent not in by_name:
            raise UserError(key, f"there is no arm {parent!r}", f"one of: {', '.join(map(str, by_name))}")
        if parent in path:
            raise UserError(
                key, f"inherits in a circle: {' → '.join(map(str, (*path, parent)))}", "let one arm inherit nothing"
            )
        return over(resolved(by_name[parent], (*path, parent)), own)

    return [resolved(e, (str(e.get("name", "?")),)) if isinstance(e, dict) else e for e in entries]


def validate(cls: type[BaseModel], value: Any, where: str) -> Any:
    try:
        return cls.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        # What stands where a key's name should stand may be the key; a whole entry may hold it.
        secret = first["loc"][-1:] == ("key",) or isinstance(first["input"], dict)
        given = "" if first["type"] == "missing" or secret else f", given {first['input']!r}"
        raise UserError(f"{where}{path}", f"{first['msg']}{given}{more}", _mend(cls, first)) from error


def _mend(cls: type[BaseModel], error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        return f"the keys here are: {', '.join(cls.model_fields)}"
    if error["type"] == "missing":
        return f"add `{error['loc'][-1]}: …`"
    if error["loc"][-1:] == ("revision",):
        return "give the 40-hex commit of the revision: a branch or tag can move"
    return "correct this key; config/schema.json lists what is allowed"
