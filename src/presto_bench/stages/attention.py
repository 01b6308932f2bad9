"""attention/: mean attention that response tokens pay to a harmful prefill, by prompt, layer and head."""

from typing import Any

import pandas as pd
import torch

from presto_bench import models, tables
from presto_bench.jobs import Job
from presto_bench.presto import Spans, prefill_mass
from presto_bench.stages.ranks import cells


def make(job: Job) -> None:
    model, tokenizer = models.load(job.path("model"), job.model.dtype)
    model.set_attn_implementation("eager")  # the only one that hands out its probabilities
    rows = [row for row in cells(job, tokenizer) if row.role == "harmful_harmful"]
    frames = [_profile(job, model, row) for row in rows]
    tables.write(job.path("attention"), "attention", pd.concat(frames, ignore_index=True))


@torch.inference_mode()
def _profile(job: Job, model: Any, row: Any) -> pd.DataFrame:
    """Mean over the response's queries of the mass on the prefill, for each layer and head."""
    text = row.text
    spans = Spans(*(torch.tensor([n], device=model.device) for n in (text.prefill_start, text.response_start, len(text.ids))))
    ids = torch.tensor([text.ids], device=model.device)
    attentions = model(input_ids=ids, output_attentions=True, use_cache=False, logits_to_keep=1).attentions
    mass = torch.stack([prefill_mass(a, spans)[0, :, text.response_start :].mean(-1) for a in attentions]).cpu().double()
    layers, heads = torch.meshgrid(torch.arange(mass.shape[0]), torch.arange(mass.shape[1]), indexing="ij")
    return pd.DataFrame(
        {
            "model": job.model.name,
            "arm": job.wildcards["arm"],
            "seed": job.seed,
            "prompt_id": row.prompt_id,
            "layer": layers.flatten().numpy(),
            "head": heads.flatten().numpy(),
            "mass": mass.flatten().numpy(),
        }
    )
