"""The JSON schema of a config file: `python -m presto_bench.config.schema` writes config/schema.json."""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from presto_bench import registry
from presto_bench.config.experiment import LISTS, Config


def json_schema() -> dict[str, Any]:
    """JSON schema of a config file, with the built-in kinds of each list spelled out."""
    kinds = {s: [registry.config_class(s, k, s) for k in registry.KINDS[s]] for s in LISTS}
    classes = [Config, *(cls for group in kinds.values() for cls in group)]
    refs, schema = models_json_schema([(cls, "validation") for cls in classes], title="presto-bench config")
    definitions = schema["$defs"]
    top = definitions.pop("Config")
    for section, group in kinds.items():
        options = [refs[(cls, "validation")] for cls in group]
        if section == "arms":
            options.append({"type": "object", "required": ["name", "inherits"]})
        plugin = {"type": "object", "properties": {"kind": {"type": "string", "pattern": ":"}}, "required": ["name", "kind"]}
        top["properties"][section]["items"] = {"anyOf": [*options, plugin]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": definitions}


def schema_text() -> str:
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "config/schema.json").write_text(schema_text())
