"""composition/<model>/<arm>/seed<n>.parquet: what an arm puts in its top 20 behind harmful beginnings.

On dev dishes: nothing of the test split is spent on it, and AutoRAP's helper, which is asked about the same candidates, has not seen them.
"""

import pandas as pd

from presto_bench import tables
from presto_bench.config.composition import CompositionConfig
from presto_bench.judges import refusal
from presto_bench.lm import chat, folders, models
from presto_bench.measures import candidates
from presto_bench.policies import known
from presto_bench.stages.job import Job


def make(job: Job) -> None:
    config = CompositionConfig.model_validate(job.spec["composition"])
    target, tokenizer = models.load(job.path("model"), job.model.decode_dtype)
    prompts, harmful = known.recipes(job.path("prompts"), job.path("answers"), tokenizer, config.split)
    chosen = {p: harmful[p] for p in list(harmful)[: config.requests]}
    # The untouched model never sees the arm's defence: it says what would be a plausible answer.
    theirs = folders.chat_format(job.path("model"), job.chat_format)
    places = candidates.places(tokenizer, theirs, prompts, chosen, config.cuts, "candidates")
    plain = candidates.places(tokenizer, job.chat_format, prompts, chosen, config.cuts, "candidates")
    rows = [place.ids for place in places]
    offered = candidates.top(target, rows, candidates.TOP)
    continued = candidates.continuations(target, tokenizer, rows, offered)
    del target
    untouched, _ = models.load(job.path("untouched"), job.model.decode_dtype)
    likely = candidates.top(untouched, [place.ids for place in plain], candidates.PLAUSIBLE)
    refuses = refusal.teller(job.spec["policy"])
    frame = pd.DataFrame(
        [
            {
                "prompt_id": place.prompt_id,
                "depth": place.depth,
                "rank": rank,
                "token_id": token,
                "kind": candidates.kind(refuses(chat.decode(tokenizer, list(said))), token in best),
            }
            for place, tokens, texts, best in zip(places, offered, continued, likely, strict=True)
            for rank, (token, said) in enumerate(zip(tokens, texts, strict=True), 1)
        ]
    )
    frame = frame.assign(model=job.model.name, arm=job.wildcards["arm"], seed=job.seed)
    tables.write(job.path("composition"), "composition", frame[list(tables.TABLES["composition"].columns)])
