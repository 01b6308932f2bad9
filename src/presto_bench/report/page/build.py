"""The page itself: one file with its scripts and data inside."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, select_autoescape

from presto_bench.report import front
from presto_bench.report.page import charts, sections
from presto_bench.report.page.charts import Shown
from presto_bench.report.page.text import safe

TEMPLATE = "page.html.j2"
MOST_STEPS = 3_000_000  # characters of the step view's data; attacks beyond that are left out with a note
NO_STEPS = "Not run. `snakemake page` makes it where an attack picks from ranks."


@dataclass(frozen=True)
class Found:
    """All that a page says: what is shown, the headline's lines, per-request rows, steps, the run's manifest, and pictures that are embedded as they are.

    show: whether texts of requests and tokens may stand on it.
    """

    experiment: str
    shown: Shown
    headline: Sequence[str]
    requests: pd.DataFrame
    steps: pd.DataFrame
    manifest: Mapping[str, Any]
    pictures: Mapping[str, bytes]
    show: bool


def html(found: Found) -> str:
    """The page. Without texts of requests or answers where `show` is false."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent.parent / "data"),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made, checked = sections.built(found.shown), sections.checks(found.shown.tables.get("checks", pd.DataFrame()))
    key = charts.answer(found.shown)
    stepped, left_out = sections.within(found.steps, found.shown, found.show, MOST_STEPS)
    return environment.get_template(TEMPLATE).render(
        experiment=found.experiment,
        question=front.QUESTION,
        answer=sections.answer(found.shown) or [safe(line) for line in found.headline],
        doubt=sections.doubt(checked),
        key=None if key is None else charts.spec(key),
        checks=checked,
        sections=made,
        not_run=[section["title"] for section in made if section["missing"]],
        requests=sections.requests(found.requests, found.shown),
        steps=stepped if stepped["requests"] else None,
        steps_note=f"Too many steps for a page: {', '.join(left_out)}. They are in steps/ of this run."
        if left_out
        else NO_STEPS,
        steps_left_out=left_out,
        pictures={name: base64.b64encode(content).decode() for name, content in found.pictures.items()},
        provenance=_provenance(found.manifest),
        show=found.show,
        scripts=_scripts(),
    )


def _provenance(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where the numbers come from, as pairs."""
    git = manifest.get("git") or {}
    rows = [("commit", f"{git.get('commit') or 'unknown'}{' (with uncommitted changes)' if git.get('dirty') else ''}")]
    rows += [(name, str(version)) for name, version in (manifest.get("versions") or {}).items()]
    return [(name, safe(value)) for name, value in rows]


@cache
def _scripts() -> dict[str, str]:
    """Vega with its parts, and the tables' library with its style, as their packages bring them."""
    import vl_convert

    bundle = files("itables") / "html"
    table = (bundle / "dt_bundle.js").read_text(encoding="utf-8")
    return {
        "vega": vl_convert.javascript_bundle().replace("</script", "<\\/script"),
        "tables": base64.b64encode(table.encode()).decode(),
        "style": (bundle / "dt_bundle.css").read_text(encoding="utf-8").replace("</style", "<\\/style"),
    }
