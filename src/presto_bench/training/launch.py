"""Training in several processes, one a device, through `accelerate launch` (DDP or FSDP).

The parent writes what is to be trained into the work folder and starts the processes; each runs `main` below, and the
first one saves the trained model. On a machine without GPUs they talk through gloo.
"""

import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from presto_bench import tables
from presto_bench.config.training import TrainingConfig
from presto_bench.errors import UserError
from presto_bench.lm import chat, models, precision
from presto_bench.training import trainer
from presto_bench.training.examples import Example, Penalty

log = logging.getLogger("presto_bench")


def train(model: Path, dtype: str, examples: Sequence[Example], config: TrainingConfig, seed: int, work: Path) -> Path:
    """Folder of the trained model, inside `work`. model: folder of the base."""
    devices = torch.cuda.device_count() or (os.cpu_count() or 1)
    if config.launch.processes > devices:
        raise UserError(
            "launch.processes", f"{config.launch.processes} processes for {devices} devices", "ask for as many as the node has"
        )
    folder = work / "launch"
    folder.mkdir(parents=True, exist_ok=True)
    _write(examples, folder / "examples.parquet")
    what = {"model": str(model.resolve()), "dtype": dtype, "seed": seed, "config": config.model_dump(mode="json")}
    (folder / "job.json").write_text(json.dumps(what))
    command = _launcher(config.launch.processes)
    threads = max((torch.get_num_threads() or 1) // config.launch.processes, 1)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    _run([*command, "-m", "presto_bench.training.launch", str(work.resolve())], environment, folder / "error.json")
    for use in json.loads(
        (folder / "precision.json").read_text()
    ):  # noted in the process that trained; the manifest is written here
        precision.note(precision.Use(**use))
    return folder / "trained"


def rehearse(processes: int) -> str | None:
    """Whether a group of so many processes forms on this machine: None, or what went wrong."""
    done = subprocess.run([*_launcher(processes), "-m", "presto_bench.training.rehearsal"], capture_output=True, text=True)
    if done.returncode == 0:
        return None
    errors = [line for line in done.stderr.splitlines() if "Error" in line]
    return f"did not form: {errors[-1].strip() if errors else f'status {done.returncode}'}"


def _launcher(processes: int) -> list[str]:
    """--multi_gpu is what starts several local processes; without GPUs the trainer itself chooses gloo."""
    command = [sys.executable, "-m", "accelerate.commands.launch", f"--num_processes={processes}"]
    return [*command, "--multi_gpu", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]


def _run(command: Sequence[str], environment: Mapping[str, str], error: Path) -> None:
    """Run to the end, what is said going to the job's log; a process's own error is raised here as it was there."""
    error.unlink(missing_ok=True)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=_die_with_parent
    ) as running:
        # At a cluster's time limit: pass it on and wait, so that the processes can save.
        before = _on_main_thread(signal.SIGTERM, lambda *_: running.terminate())
        for line in running.stdout or ():
            log.info("%s", line.rstrip())
    if before is not None:
        signal.signal(signal.SIGTERM, before)
    if error.exists():
        raise UserError(*json.loads(error.read_text()))
    if running.returncode:
        raise RuntimeError(f"the training processes ended with status {running.returncode}; their words are in this job's log")


def _on_main_thread(number: int, handler: Callable[..., None]) -> Any:
    """Install a handler and give back the one before; None off the main thread, which alone may."""
    return signal.signal(number, handler) if threading.current_thread() is threading.main_thread() else None


def main(work: Path) -> None:
    """One process of several."""
    try:
        _train(work)
    except UserError as error:
        (work / "launch/error.json").write_text(json.dumps([error.where, error.what, error.mend]))
        raise


def _train(work: Path) -> None:
    what = json.loads((work / "launch/job.json").read_text())
    config = TrainingConfig.model_validate(what["config"])
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # FSDP moves its shards to the devices itself: no device need ever hold the whole model.
    device = "cpu" if config.launch.strategy == "fsdp" else None
    model, tokenizer = models.load(Path(what["model"]), what["dtype"], device)
    examples = _read(work / "launch/examples.parquet")
    fitted = trainer.fit(model, tokenizer, examples, config, what["seed"], work)
    state = fitted.accelerator.get_state_dict(fitted.model_wrapped)  # all processes: shards are gathered here
    if fitted.is_world_process_zero():
        whole = trainer.adapted(models.load(Path(what["model"]), what["dtype"], "cpu")[0], config)
        whole.load_state_dict(state)
        (work / "launch/precision.json").write_text(json.dumps(precision.used()))
        models.save(trainer.merged(whole, config), tokenizer, work / "launch/trained")
    fitted.accelerator.wait_for_everyone()
    torch.distributed.destroy_process_group()


def _write(examples: Sequence[Example], path: Path) -> None:
    rows = [
        {
            "prompt_id": e.prompt_id,
            "ids": list(e.encoded.ids),
            "prefill_start": e.encoded.prefill_start,
            "response_start": e.encoded.response_start,
            "supervised": e.supervised,
            "counted": e.counted,
            "smoothing": e.smoothing,
            **asdict(e.penalty),
        }
        for e in examples
    ]
    path.touch(mode=0o600)  # token ids decode to text
    pd.DataFrame(rows).to_parquet(path)


def _read(path: Path) -> list[Example]:
    return [
        Example(
            r.prompt_id,
            chat.Encoded(tuple(r.ids.tolist()), r.prefill_start, r.response_start),
            bool(r.supervised),
            r.counted,
            Penalty(r.key_start, r.key_end, r.query_start, r.query_end),
            r.smoothing,
        )
        for r in tables.rows(pd.read_parquet(path))
    ]


def _die_with_parent() -> None:
    """Linux: a killed job must not leave processes that go on writing into its work folder."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1: PR_SET_PDEATHSIG


if __name__ == "__main__":
    main(Path(sys.argv[1]))
