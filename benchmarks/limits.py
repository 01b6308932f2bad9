"""How far a training step and a decoding step are from what the machine's matrix products allow, and decoding against transformers' own.

OMP_NUM_THREADS=2 python benchmarks/limits.py RUN [--arm da] > benchmarks/results/limits_<machine>.jsonl

RUN is the folder of a finished run, such as results/standin: its base, its augmentation table and its dev requests are used. One JSON object a line. The limit of a step is
the floating point operations of its real tokens (padding not counted) divided by the speed of one float32 product of 1024 x 576 x 1536 in the same process:
4 a weight and token in training with adapters (forward and the gradients of activations), 2 in decoding; the head counts where logits are taken. Each ratio is the median
of rounds in which limit and step take turns.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from presto_bench import config as typed
from presto_bench import draws, tables
from presto_bench.lm import chat, models, reading
from presto_bench.lm.decoding import Sampled, continue_rows
from presto_bench.training import trainer
from presto_bench.training.examples import Example, Texts, build_examples
from presto_bench.training.objective import ObjectiveTrainer

STEPS, ROWS, NEW_TOKENS = 6, 64, 96


def speed() -> float:
    """Operations a second of the reference product; the best of a few, as a limit is one."""
    a, w = torch.randn(1024, 576), torch.randn(1536, 576)
    torch.nn.functional.linear(a, w)
    return 2 * 1024 * 576 * 1536 / min(_seconds(lambda: torch.nn.functional.linear(a, w)) for _ in range(20))


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def weights(model: Any) -> tuple[int, int]:
    """(weights of the linear layers, weights of the head)."""
    head = model.get_output_embeddings().weight.numel()
    return sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear)) - head, head


def examples_of(run: Path, model: str, arm: str, settings: typed.TrainingConfig, tokenizer: Any) -> list[Example]:
    """The arm's own training examples of the first `settings.steps` steps, from a finished run's tables."""
    prompts = tables.read(run / "data/prompts.parquet", "prompts")
    answers = tables.read(run / f"data/{model}/answers.parquet", "answers")
    triples = tables.read(run / f"data/{model}/triples/{settings.refusals}.parquet", "triples")
    augmented = tables.read(run / f"augmented/{model}/{arm}/seed0.parquet", "augmented").head(
        settings.steps * settings.batch_size
    )
    texts = Texts(
        dict(zip(prompts["prompt_id"], prompts["prompt"], strict=True)),
        {r.prompt_id: (r.harmful, r.refusal) for r in triples.itertuples()},
        dict(zip(answers["prompt_id"], answers["answer"], strict=True)),
    )
    return build_examples(augmented, texts, tokenizer, chat.ChatFormat(), settings)


def training(run: Path, config: typed.Config, arm: str) -> dict[str, Any]:
    """Seconds of each optimiser step over its limit, on the first steps of the arm's own table."""
    entry = config.models[0]
    folder = run / f"models/{entry.name}/base/seed0"
    model, tokenizer = models.load(folder, "float32")
    inner, head = weights(model)
    settings = config.item("arms", arm)
    settings = typed.TrainingConfig.model_validate(
        settings.model_dump(include=set(typed.TrainingConfig.model_fields)) | {"steps": STEPS, "save_every": 1000}
    )
    examples = examples_of(run, entry.name, arm, settings, tokenizer)
    speeds, ends = [], []
    plain = ObjectiveTrainer.step_metrics

    def noted(self: ObjectiveTrainer) -> dict[str, float]:
        ends.append(time.perf_counter())
        speeds.append(speed())
        ends.append(time.perf_counter())
        return plain(self)

    ObjectiveTrainer.step_metrics = noted
    with tempfile.TemporaryDirectory() as work:
        trainer.fit(model, tokenizer, examples, settings, 0, Path(work))
    ObjectiveTrainer.step_metrics = plain
    ratios = []
    for step in range(1, STEPS):
        own = examples[step * settings.batch_size : (step + 1) * settings.batch_size]
        tokens = sum(len(e.encoded.ids) for e in own)
        labelled = sum(len(e.encoded.response_ids) for e in own if e.supervised)
        limit = 4 * (inner * tokens + head * labelled) / speeds[step - 1]
        ratios.append((ends[2 * step] - ends[2 * step - 1]) / limit)
    return {"value": statistics.median(ratios), "unit": "x", "on": {"arm": arm, "steps": STEPS - 1, "spread": _spread(ratios)}}


def decoding(run: Path, config: typed.Config) -> list[dict[str, Any]]:
    """A step of 64 rows over its limit; and tokens a second over `generate` on the same rows, lengths as the end of turn sets them."""
    entry = config.models[0]
    model, tokenizer = models.load(run / f"models/{entry.name}/untouched/seed0", "float32")
    inner, head = weights(model)
    prompts = tables.read(run / "data/prompts.parquet", "prompts")
    asked = prompts[(prompts["split"] == "dev")].sort_values("prompt_id").head(ROWS)
    rows = [list(chat.encode(tokenizer, prompt, chat.ChatFormat()).ids) for prompt in asked["prompt"]]
    ends = chat.end_of_turn(tokenizer, model)
    sampling = typed.SamplingConfig(temperature=1.0, top_k=20)
    ratios, over_generate = [], []
    for _ in range(3):
        limit = 2 * (inner + head) * ROWS / speed()
        pick = Sampled(sampling, [draws.generator("limits", i) for i in range(ROWS)], 25, model.device)
        read_seconds = _seconds(lambda: reading.reader(model, rows, 25))
        whole = _seconds(lambda pick=pick: continue_rows(model, rows, 25, [], pick))
        ratios.append((whole - read_seconds) / 24 / limit)
        over_generate.append(_ours(model, rows, ends, sampling) / _theirs(model, rows, ends))
    on = {"rows": ROWS, "rounds": 3, "spread": _spread(ratios)}
    return [
        {"name": "decode_step_over_limit", "value": statistics.median(ratios), "unit": "x", "on": on},
        {
            "name": "decode_over_generate",
            "value": statistics.median(over_generate),
            "unit": "x",
            "on": {"rows": ROWS, "new_tokens": NEW_TOKENS, "rounds": 3, "spread": _spread(over_generate)},
        },
    ]


def _ours(model: Any, rows: list[list[int]], ends: tuple[int, ...], sampling: typed.SamplingConfig) -> float:
    """Tokens a second."""
    pick = Sampled(sampling, [draws.generator("limits", i) for i in range(ROWS)], NEW_TOKENS, model.device)
    started = time.perf_counter()
    found = continue_rows(model, rows, NEW_TOKENS, ends, pick)
    return sum(len(c.ids) for c in found) / (time.perf_counter() - started)


def _theirs(model: Any, rows: list[list[int]], ends: tuple[int, ...]) -> float:
    """Tokens a second of `generate`, with SDPA as transformers sets it up."""
    ids, mask = reading.left_pad(rows, model.device)
    before = model.config._attn_implementation
    model.set_attn_implementation("sdpa")
    torch.manual_seed(0)
    started = time.perf_counter()
    said = model.generate(
        ids,
        attention_mask=mask,
        do_sample=True,
        top_k=20,
        max_new_tokens=NEW_TOKENS,
        eos_token_id=list(ends),
        pad_token_id=ends[0],
    )
    seconds = time.perf_counter() - started
    model.set_attn_implementation(before)
    new = said[:, ids.shape[1] :]
    ended = torch.isin(new, torch.tensor(ends)).cumsum(-1) > 0
    return float((~ended).sum()) / seconds


def _spread(values: list[float]) -> list[float]:
    return [round(min(values), 3), round(max(values), 3)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--arm", default="da")
    arguments = parser.parse_args()
    config = typed.read(arguments.config)
    machine = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    found = [
        *decoding(arguments.run, config),
        {"name": "train_step_over_limit", **training(arguments.run, config, arguments.arm)},
    ]
    for line in found:
        print(
            json.dumps({**line, "value": round(line["value"], 3), "machine": machine, "torch": torch.__version__}), flush=True
        )


if __name__ == "__main__":
    main()
