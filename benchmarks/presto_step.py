"""What PRESTO costs in training: our fused masses against plain SDPA, vectorised eager attention and the reference's loops.

OMP_NUM_THREADS=2 python benchmarks/presto_step.py [--quick] > benchmarks/results/presto_step_<machine>.jsonl

One JSON object a line: name, value, unit, and what it was measured on. The model has SmolLM2-135M's shape and random weights
(cost does not depend on them); a step is forward + backward + AdamW of LoRA r 16 under bfloat16 autocast, logits at supervised
positions only, as our training does. Times: the variants take turns within one process, medians of ratios within a round. Memory: a process
of its own for each variant, peak above the loaded model (CPU: resident set; GPU: allocated).
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from presto_bench.config import PrestoConfig, TrainingConfig
from presto_bench.lm.forward import logits_only_at
from presto_bench.training import attention_mass, trainer
from presto_bench.training.objective import cross_entropy_sum
from presto_bench.training.presto import Spans, presto_sum

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SMOLLM2 = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
    "max_position_embeddings": 8192,
}
PROMPT, PREFILL = 1 / 8, 1 / 4  # shares of the sequence
VARIANTS = ("sdpa", "fused", "eager")


class Step:
    """One LoRA training step of each variant on one batch; every second example is prefilled."""

    def __init__(self, batch: int, length: int, layers: int):
        torch.manual_seed(0)
        config = LlamaConfig(**SMOLLM2, num_hidden_layers=layers)
        with torch.device(DEVICE):
            model = AutoModelForCausalLM.from_config(config)
        self.layers, self.length = layers, length
        self.model = trainer.adapted(model.train(), TrainingConfig())
        self.optimizer = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=1e-4)
        self.ids = torch.randint(0, SMOLLM2["vocab_size"], (batch, length), device=DEVICE)
        start = torch.full((batch,), int(length * PROMPT), device=DEVICE)
        filled = start + torch.arange(batch, device=DEVICE).remainder(2) * int(length * PREFILL)
        end = torch.full((batch,), length, device=DEVICE)
        self.spans = Spans.of_prefills(start, filled, end, "all")
        positions = torch.arange(length, device=DEVICE)[None]
        self.wanted = (positions >= filled[:, None] - 1) & (positions < length - 1)
        self.targets = self.ids.roll(-1, 1)[self.wanted]

    def run(self, variant: str) -> float:
        """Seconds."""
        self.model.get_base_model().set_attn_implementation(attention_mass.NAME if variant == "fused" else variant)
        synchronize()
        started = time.perf_counter()
        with torch.autocast(DEVICE, torch.bfloat16), logits_only_at(self.model, self.wanted):
            extra = {} if variant == "sdpa" else attention_mass.arguments(variant, self.spans, self.length)
            outputs = self.model(input_ids=self.ids, use_cache=False, **extra)
        loss = cross_entropy_sum(outputs.logits, self.targets)
        if variant != "sdpa":
            masses = attention_mass.masses(variant, self.spans, outputs, self.layers)
            loss = loss + presto_sum(masses, self.spans, PrestoConfig())
        del outputs
        (loss / self.targets.numel()).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        synchronize()
        return time.perf_counter() - started


def synchronize() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def times(batch: int, length: int, layers: int, rounds: int, variants=VARIANTS) -> dict[str, list[float]]:
    """Seconds of each variant in each round, after one round of warm-up."""
    step, found = Step(batch, length, layers), {variant: [] for variant in variants}
    for number in range(rounds + 1):
        for variant in variants:
            seconds = step.run(variant)
            if number:
                found[variant].append(seconds)
    return found


def ratio(found: dict[str, list[float]], above: str, below: str) -> float:
    return statistics.median(a / b for a, b in zip(found[above], found[below], strict=True))


def peak_memory(variant: str, batch: int, length: int, layers: int) -> float | None:
    """MiB above the loaded model, in a process of its own; None if it ended early (out of memory)."""
    words = [sys.executable, __file__, "--peak", variant, str(batch), str(length), str(layers)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def print_peak(variant: str, batch: int, length: int, layers: int) -> None:
    step = Step(batch, length, layers)
    if DEVICE == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    else:
        reset_resident_peak()
        before = resident_peak()
    step.run(variant)
    peak = torch.cuda.max_memory_allocated() if DEVICE == "cuda" else resident_peak()
    print((peak - before) / 2**20)


def resident_peak() -> int:
    """Bytes: the kernel's own high-water mark, which building the model must not have set."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def reset_resident_peak() -> None:
    with open("/proc/self/clear_refs", "w") as handle:
        handle.write("5")


def attention_seconds(with_mass: bool, heads: int, batch: int, length: int, rounds: int) -> float:
    """One layer's attention, forward and backward; with masses: and their reduction."""
    shape = (batch, heads, length, 64)
    query, key, value = (torch.randn(shape, device=DEVICE, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    start = torch.full((batch,), int(length * PROMPT), device=DEVICE)
    spans = Spans.of_prefills(start, start + int(length * PREFILL), torch.full((batch,), length, device=DEVICE), "all")
    keys, module, found = spans.keys(length), torch.nn.Identity(), []
    for _ in range(rounds + 2):
        synchronize()
        started = time.perf_counter()
        if with_mass:
            output, mass = attention_mass.attention_with_mass(module, query, key, value, None, prefill_keys=keys)
            loss = output.float().sum() + presto_sum([mass], spans, PrestoConfig())
        else:
            output, _ = sdpa_attention_forward(module, query, key, value, None)
            loss = output.float().sum()
        loss.backward()
        synchronize()
        found.append(time.perf_counter() - started)
    return statistics.median(found[2:])


def loop_seconds(heads: int, batch: int, length: int, queries: int, rounds: int) -> float:
    """The reference's form, query by query (prefill - before - after + heads), on one layer and some queries; forward and backward."""
    scores = torch.randn(batch, heads, length, length, device=DEVICE)
    future = torch.ones(length, length, dtype=torch.bool, device=DEVICE).triu(1)
    attention = scores.masked_fill(future, -torch.inf).softmax(-1).requires_grad_()
    p, r = int(length * PROMPT), int(length * (PROMPT + PREFILL))
    found = []
    for _ in range(rounds + 1):
        synchronize()
        started = time.perf_counter()
        total = torch.zeros((), device=DEVICE)
        for q in range(r, r + queries):
            row, last = attention[0, :, q], min(r, q + 1)
            total = total + row[:, p:last].sum() - row[:, :p].sum() - row[:, last : q + 1].sum() + heads
        total.backward()
        synchronize()
        found.append(time.perf_counter() - started)
    return statistics.median(found[1:])


def report(name: str, value: float | None, unit: str, **on: object) -> None:
    machine = (
        torch.cuda.get_device_name() if DEVICE == "cuda" else f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    )
    shown = None if value is None else round(value, 4)
    line = {"name": name, "value": shown, "unit": unit, "on": on, "machine": machine, "torch": torch.__version__}
    print(json.dumps(line), flush=True)


def guarded(measure: Callable[[], float], name: str, unit: str, **on: object) -> None:
    """A size that does not fit is reported as null, and the rest is still measured."""
    try:
        report(name, measure(), unit, **on)
    except (RuntimeError, TypeError) as error:
        report(name, None, unit, **on, failed=str(error)[:120])


def main(quick: bool) -> None:
    layers, rounds = (6, 2) if quick else (30, 5)
    shape = {"batch": 4, "tokens": 512, "layers": layers, "prefilled": "half", "rounds": rounds}
    found = times(4, 512, layers, rounds)
    for variant in VARIANTS:
        report(f"seconds_{variant}", statistics.median(found[variant]), "s", **shape)
    report("time_vs_sdpa", ratio(found, "fused", "sdpa"), "ratio", **shape)
    report("time_eager_over_ours", ratio(found, "eager", "fused"), "ratio", **shape)
    spread = [round(a / b, 3) for a, b in zip(found["fused"], found["sdpa"], strict=True)]
    report("time_vs_sdpa_rounds_apart", max(spread) - min(spread), "ratio", **shape, each=spread)

    wide = {"layers": layers, "prefilled": "half"}
    mib = {v: peak_memory(v, 4, 512, layers) for v in VARIANTS}
    guarded(lambda: mib["fused"] / mib["sdpa"], "memory_vs_sdpa", "ratio", batch=4, tokens=512, **wide, mib=mib)
    long = {v: peak_memory(v, 2, 1024, layers) for v in VARIANTS}
    guarded(lambda: long["eager"] / long["fused"], "memory_eager_over_ours", "ratio", batch=2, tokens=1024, **wide, mib=long)

    plain, ours = (attention_seconds(mass, 9, 4, 512, rounds * 4) for mass in (False, True))
    measured = loop_seconds(9, 4, 512, 20, rounds)
    queries = int(512 * (1 - PROMPT)) * 2  # of the two prefilled examples, from the first prefill token on
    loops = measured / 20 * queries
    on = {
        "batch": 4,
        "tokens": 512,
        "heads": 9,
        "per": "layer",
        "plain_s": plain,
        "ours_s": ours,
        "loops_20_queries_s": measured,
    }
    extra = max(ours - plain, 0.0)
    note = f"loops timed on one layer and 20 queries, extrapolated to {queries}; a difference below 1 % of plain is noise"
    report("term_loops_over_ours", loops / max(extra, 0.01 * plain), "ratio", **on, note=note)

    lengths = (128, 512) if quick else (128, 512, 1024, 2048, 4096)
    for length in lengths:
        for variant in VARIANTS:
            on = {"variant": variant, "batch": 1, "tokens": length, "layers": 6}
            report("memory_by_length", peak_memory(variant, 1, length, 6), "MiB", **on)
    for length in lengths:
        try:
            found = times(2, length, 6, 3, ("sdpa", "fused"))
            report("time_vs_sdpa_by_length", ratio(found, "fused", "sdpa"), "ratio", batch=2, tokens=length, layers=6)
        except RuntimeError as error:
            report("time_vs_sdpa_by_length", None, "ratio", batch=2, tokens=length, layers=6, failed=str(error)[:120])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="6 layers, short lengths, few rounds: about a minute")
    parser.add_argument("--peak", nargs=4, metavar=("VARIANT", "BATCH", "TOKENS", "LAYERS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print_peak(arguments.peak[0], *map(int, arguments.peak[1:]))
    else:
        main(arguments.quick)
