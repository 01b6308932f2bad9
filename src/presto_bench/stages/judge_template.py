"""judge/<judge>/template.json: a rubric's template."""

import hashlib
import importlib.util
import json
import urllib.error
import urllib.request
from pathlib import Path

from presto_bench import tables
from presto_bench.config.judges import TemplateConfig
from presto_bench.errors import UserError
from presto_bench.judges.rubric import Template
from presto_bench.stages.job import Job

OWN = Path(__file__).parent.parent / "judges/data/rubric.json"
INSTALLED = "eval_files/judge_templates.json"
TIMEOUT = 60  # seconds


def make(job: Job) -> None:
    """template.json: `user`, `system` and where they come from."""
    config = TemplateConfig.model_validate(job.spec["template"])
    where, raw = _source(config)
    digest = hashlib.sha256(raw).hexdigest()
    if config.sha256 not in (None, digest):
        raise UserError(
            where, f"sha256 is {digest}, the config says {config.sha256}", "correct `template.sha256`, or get the right file"
        )
    try:
        found = json.loads(raw)
        if config.source == "strong_reject":
            found = {"user": _unescaped(found["strongreject_rubric"]), "system": found["strongreject_rubric_system"]}
        chosen = {"user": found["user"], "system": found.get("system"), "source": where, "sha256": digest}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(where, f"no rubric template ({error!r})", "see docs/howto/grading.md for what it must hold") from error
    tables.write_text(job.path("template"), json.dumps(chosen, indent=1, ensure_ascii=False) + "\n")
    Template.read(job.path("template"))


def _source(config: TemplateConfig) -> tuple[str, bytes]:
    """Where a template comes from, and its bytes."""
    if config.source == "own":
        return "presto_bench", OWN.read_bytes()
    if config.source == "file":
        try:
            return config.path, Path(config.path).read_bytes()
        except OSError as error:
            raise UserError(config.path, f"cannot be read: {error.strerror}", "correct `template.path`") from error
    installed = importlib.util.find_spec("strong_reject")
    if installed and installed.origin and (Path(installed.origin).parent / INSTALLED).is_file():
        return "strong_reject (installed)", (Path(installed.origin).parent / INSTALLED).read_bytes()
    try:
        with urllib.request.urlopen(config.url, timeout=TIMEOUT) as response:
            return config.url, response.read()
    except (urllib.error.URLError, TimeoutError) as error:
        raise UserError(
            config.url,
            f"the rubric's prompts cannot be fetched: {getattr(error, 'reason', error)}",
            "check the network, install the strong_reject package, or use `template: {source: own}`",
        ) from error


def _unescaped(text: str) -> str:
    """The package fills its templates with str.format, in which a doubled brace is a brace."""
    return text.replace("{{", "{").replace("}}", "}")
