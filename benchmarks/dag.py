"""How long a large experiment takes to plan, and how that grows with its jobs: a dry run and `presto-bench status`, nothing computed.

python benchmarks/dag.py > benchmarks/results/dag_<machine>.jsonl
"""

import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).parent.parent


def config(models: int) -> dict:
    """models x 8 arms x 5 seeds x 6 attacks x 3 judges."""
    raw = yaml.safe_load((ROOT / "tests/config/tiny.yaml").read_text())
    arm = raw["arms"][1]
    attacks = [
        {"name": f"guided{i}", "kind": "guided", "k": [2 + i], "max_steps": 24, "prefill": [True], "null": None}
        for i in range(4)
    ]
    attacks += [{"name": "direct", "kind": "direct"}, {"name": "prefilling", "kind": "prefilling"}]
    endpoint = {"kind": "rubric", "model": "m", "base_url": "http://localhost:1/v1", "key": None}
    return raw | {
        "experiment": "large",
        "seeds": [0, 1, 2, 3, 4],
        "models": [raw["models"][0] | {"name": f"m{i}"} for i in range(models)],
        "arms": [raw["arms"][0], *({**arm, "name": "da" if i == 0 else f"arm{i}", "lr": 1e-3 + i * 1e-4} for i in range(7))],
        "attacks": attacks,
        "judges": [raw["judges"][0], {"name": "one", **endpoint}, {"name": "two", **endpoint, "model": "n"}],
    }


def run(command: list[str]) -> tuple[float, float, str]:
    """Seconds, peak GB and what was said."""
    started, peak = time.monotonic(), 0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        while process.poll() is None:
            try:
                peak = max(peak, psutil.Process(process.pid).memory_info().rss)
            except psutil.Error:
                break
            time.sleep(0.1)
        process.wait()
        said.seek(0)
        text = said.read()
    if process.returncode:
        sys.exit(text[-3000:])
    return time.monotonic() - started, peak / 1e9, text


def report(name: str, value: float, unit: str, **on: object) -> None:
    print(
        json.dumps({"name": name, "value": round(value, 3), "unit": unit, "on": on, "machine": f"{platform.machine()} CPU"}),
        flush=True,
    )


def main() -> None:
    (ROOT / "downloads/tiny-llama").exists() or sys.exit("first: python tests/tiny_model.py downloads/tiny-llama")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for models in (5, 20):
            path = Path(folder) / f"{models}.yaml"
            path.write_text(yaml.safe_dump(config(models)))
            words = [sys.executable, "-m", "snakemake", "--cores", "2", "--dry-run", "--configfile", str(path)]
            seconds, peak, _ = run([*words, "--quiet"])
            _, _, said = run([*words, "--quiet", "rules"])  # which names each job, and counts them
            jobs = int(re.findall(r"^total\s+(\d+)", said, re.MULTILINE)[-1])
            found.append((jobs, seconds, peak))
            on = {"models": models, "arms": 8, "seeds": 5, "attacks": 6, "judges": 3, "jobs": jobs}
            report("dry_run_seconds", seconds, "s", **on)
            report("dry_run_peak_gb", peak, "GB", **on)
        seconds, _, _ = run([sys.executable, "-m", "presto_bench.cli", "status", "--config", str(path)])
        report("status_seconds", seconds, "s", **on)
    (few, quick, small), (many, slow, large) = found
    report("seconds_per_thousand_jobs", 1000 * (slow - quick) / (many - few), "s", **on)
    report("mb_per_thousand_jobs", 1e6 * (large - small) / (many - few), "MB", **on)


if __name__ == "__main__":
    main()
