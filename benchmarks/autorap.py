"""What an AutoRAP step costs: caches, batches and lazy labels against the definition run as it is written.

OMP_NUM_THREADS=2 python benchmarks/autorap.py MODEL HELPER [--quick] > benchmarks/results/autorap_<machine>.jsonl

MODEL: folder of the target (results/standin/models/smollm2/da/seed0); HELPER: folder of a trained helper. One JSON object a line:
name, value, unit, what it was measured on. The naive one recomputes the whole text for the target and for each of the 20
candidates at every step, one prompt at a time, as the reference does.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from presto_bench.attacks.autorap import attack as autorap
from presto_bench.attacks.autorap import search
from presto_bench.attacks.autorap.helper import shown_to_helper
from presto_bench.attacks.base import Request, Setting
from presto_bench.config import SamplingConfig, StandinConfig
from presto_bench.config.attacks import AutoRap
from presto_bench.lm import chat, models
from presto_bench.measures.ranks import top_k
from presto_bench.policies import cooking

K = 20


def requests(count: int) -> list[Request]:
    """Requests of the train split: no result comes from here."""
    frame = cooking.prompts(StandinConfig())
    chosen = frame[(frame["role"] == "harmful") & (frame["split"] == "train")].head(count)
    prefills = cooking.attack_prefills(chosen).set_index("prompt_id")["prefill"]
    return [Request(r.prompt_id, r.prompt, prefills[r.prompt_id]) for r in chosen.itertuples()]


class Naive:
    """The definition's target and helper without caches: every candidate labelled at every step."""

    def __init__(self, setting: Setting, request: Request):
        self.setting, self.request = setting, request
        self.helper, self.tokenizer = models.load_helper(setting.helper, str(setting.model.dtype).removeprefix("torch."))
        self.labels: dict[tuple[int, ...], dict[int, bool]] = {}

    @torch.inference_mode()
    def rank(self, ids: Sequence[int]) -> list[int]:
        prompt = chat.encode_prompt(self.setting.tokenizer, self.request.prompt, self.setting.chat_format)
        listed = top_k(self.setting.model(input_ids=torch.tensor([[*prompt, *ids]])).logits[:, -1], K)[0].tolist()
        self.labels = {tuple(ids): {token: self.label(ids, token) for token in listed}}  # all of them, as the reference does
        return listed

    def label(self, ids: Sequence[int], token: int) -> bool:
        ended = token in self.setting.end_ids
        text = chat.decode(self.setting.tokenizer, list(ids) if ended else [*ids, token])
        prompt = chat.encode_prompt(self.tokenizer, self.request.prompt, self.setting.chat_format)
        row = shown_to_helper(self.tokenizer, prompt, text, ended)
        hidden = self.helper.base_model(input_ids=torch.tensor([row]), use_cache=False).last_hidden_state[0, -1]
        safe, harm = self.helper.score(hidden).tolist()
        return harm > safe

    def run(self, steps: int) -> search.Found:
        """The search forgets what it knew of a position once it has left it, as the reference does."""
        tokenizer = self.setting.tokenizer
        prefill = chat.encode_text(tokenizer, self.request.prefill)
        generator = search.reference(prefill, steps, lambda token: tokenizer.decode([token]))
        try:
            question = next(generator)
            while True:
                if isinstance(question, search.Ranked):
                    question = generator.send(self.rank(question.ids))
                    continue
                known = self.labels.get(question.ids)
                if known is None:  # came back here: everything is computed anew
                    self.rank(question.ids)
                    known = self.labels[question.ids]
                question = generator.send(known[question.token])
        except StopIteration as end:
            return end.value


def ours(setting: Setting, asked: Sequence[Request], steps: int) -> tuple[list, float]:
    config = AutoRap(name="autorap", kind="autorap", mode="reference", k=[K], max_steps=steps)
    started = time.perf_counter()
    found = autorap.run(config, f"k{K}_prefill_s{steps}", asked, setting)
    return found, time.perf_counter() - started


def growth(setting: Setting, longest: int) -> float:
    """Seconds of a step near `longest` tokens of response over those near 64: one row's next rank and one label, cached."""
    asked = requests(8)
    rows = [chat.encode(setting.tokenizer, r.prompt, setting.chat_format) for r in asked]
    rank = autorap.Ranker(setting.model, rows, K)
    helper, tokenizer = models.load_helper(setting.helper, str(setting.model.dtype).removeprefix("torch."))
    label = autorap.Labeller(helper, tokenizer, setting, [r.prompt for r in asked])
    words = chat.encode_text(setting.tokenizer, " ".join(f"step {i} is to stir the soup" for i in range(longest)))[
        : longest + 8
    ]
    found = {}
    for length in (64, longest):
        rank(dict.fromkeys(range(8), words[:length]))
        label(dict.fromkeys(range(8), (words[:length], words[length])))
        times = []
        for extra in range(1, 8):
            started = time.perf_counter()
            rank(dict.fromkeys(range(8), words[: length + extra]))
            label(dict.fromkeys(range(8), (words[: length + extra], words[0])))
            times.append(time.perf_counter() - started)
        found[length] = statistics.median(times)
    return found[longest] / found[64]


def peak_gb() -> float:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e6


def report(name: str, value: float | bool, unit: str, **on: object) -> None:
    machine = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    shown = value if isinstance(value, bool) else round(value, 4)
    line = {"name": name, "value": shown, "unit": unit, "on": on, "machine": machine, "threads": torch.get_num_threads()}
    print(json.dumps(line), flush=True)


def main(model: Path, helper: Path, quick: bool) -> None:
    loaded, tokenizer = models.load(model, "float32")
    ends = chat.end_of_turn(tokenizer, loaded)
    setting = Setting(loaded, tokenizer, chat.ChatFormat(), SamplingConfig(), ends, 8192, helper=helper)
    count, steps, rounds, naive_prompts = (4, 16, 1, 1) if quick else (20, 64, 3, 2)
    asked = requests(count)
    runs = [ours(setting, asked, steps) for _ in range(rounds)]
    memory = peak_gb()
    completions, seconds = runs[0][0], statistics.median(s for _, s in runs)
    taken = sum(c.steps for c in completions)
    naive_seconds, naive_steps, same = 0.0, 0, True
    for request, mine in list(zip(asked, completions, strict=True))[:naive_prompts]:
        started = time.perf_counter()
        found = Naive(setting, request).run(steps)
        naive_seconds += time.perf_counter() - started
        naive_steps += found.steps
        same &= (found.picked, found.steps, found.backtracks) == (mine.token_ids, mine.steps, mine.backtracks)
    on = {"prompts": count, "steps": steps, "k": K, "dtype": "float32", "naive_prompts": naive_prompts}
    report("seconds_per_prompt_step_ours", seconds / taken, "s", **on, steps_taken=taken)
    report("seconds_per_prompt_step_naive", naive_seconds / naive_steps, "s", **on, steps_taken=naive_steps)
    report("step_naive_over_ours", (naive_seconds / naive_steps) / (seconds / taken), "ratio", **on)
    report("outputs_identical", same, "bool", **on)
    report("peak_rss_gb", memory, "GB", **on)
    report("step_growth_512_over_64", growth(setting, 128 if quick else 512), "ratio", prompts=8, longest=128 if quick else 512)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("helper", type=Path)
    parser.add_argument("--quick", action="store_true", help="few prompts and steps: about two minutes")
    arguments = parser.parse_args()
    main(arguments.model, arguments.helper, arguments.quick)
