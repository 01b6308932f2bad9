"""How large PRESTO's gradient is beside the cross-entropy's, before clipping: the public code's form and equation 3 as printed.

OMP_NUM_THREADS=2 python benchmarks/presto_gradients.py RUN > benchmarks/results/presto_gradients_<machine>.jsonl

RUN is the folder of a finished run of config/config.yaml, such as results/standin. The arm da_presto's own first steps are trained from the run's base, once in each form; norms
are those of each part's own gradient in each step. One JSON object a line.
"""

import argparse
import json
import platform
import statistics
import tempfile
from pathlib import Path
from typing import Any

import yaml
from limits import examples_of

from presto_bench import config as typed
from presto_bench.lm import models
from presto_bench.training import trainer

STEPS = 12
FORMS: dict[str, dict[str, Any]] = {
    "reference": {"presto": {"queries": "all", "normalisation": "reference"}},
    "equation": {"presto": {"queries": "prefill", "normalisation": "equation"}, "normalise_by": "labelled"},
}


def measure(run: Path, config: typed.Config, form: dict[str, Any]) -> dict[str, Any]:
    """Medians over steps of each part's gradient norm and of the whole, and how often clipping at `max_grad_norm` cut it."""
    entry, arm = config.models[0], config.item("arms", "da_presto")
    raw = arm.model_dump(include=set(typed.TrainingConfig.model_fields)) | {
        "steps": STEPS,
        "save_every": 1000,
        "gradient_norms_every": 1,
    }
    settings = typed.TrainingConfig.model_validate(raw | form)
    model, tokenizer = models.load(run / f"models/{entry.name}/base/seed0", "float32")
    examples = examples_of(run, entry.name, arm.name, settings, tokenizer)
    with tempfile.TemporaryDirectory() as work:
        trainer.fit(model, tokenizer, examples, settings, 0, Path(work))
        steps = [json.loads(line) for line in (Path(work) / "metrics.jsonl").read_text().splitlines()]
    filled = [step for step in steps if step.get("norm_presto")]
    found = {
        name: statistics.median(step[name] for step in filled)
        for name in ("norm_cross_entropy", "norm_presto", "gradient_norm")
    }
    ratio = statistics.median(step["norm_presto"] / step["norm_cross_entropy"] for step in filled)
    clipped = statistics.mean(step["gradient_norm"] > settings.max_grad_norm for step in steps)
    return {**found, "presto_over_cross_entropy": ratio, "clipped": clipped, "steps": len(filled)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    given = parser.parse_args()
    config = typed.load(yaml.safe_load(given.config.read_text()))
    for name, form in FORMS.items():
        line = {"name": "presto_gradients", "form": name, **measure(given.run, config, form), "machine": platform.machine()}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
