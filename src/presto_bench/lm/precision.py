"""Floating-point precision: what `auto` means on a device, what emulation costs there, and what this process has used.

A config keeps the word `auto`; the job that computes resolves it, because a login node must not decide for a GPU.
"""

import logging
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

log = logging.getLogger("presto_bench")

AUTO = "auto"
FULL = "float32"
FAST = "bfloat16"
AUTOCAST = "autocast"
MATMUL = (96, 576, 1536)  # rows, in, out: a small model's decoding step
MEASURED_FOR = 0.1  # seconds
SLOW = 1.5  # times as slow as float32: from here on it is said
# Without one of these a Linux machine has no GPU that torch can use, and torch need not be loaded to know.
GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True)
class Use:
    """One use of a precision. what: a folder of weights, or `autocast`; stored: what those weights are on disk; slower: times float32.

    device: where it computes; None where weights are only converted.
    """

    what: str
    asked: str | None
    used: str | None
    device: str | None
    stored: str | None = None
    slower: float | None = None


_USED: list[Use] = []


def best_device() -> str:
    """The device that a job computes on: `cuda` or `cpu`."""
    if sys.platform == "linux" and not any(Path(file).exists() for file in GPU_FILES):
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve(asked: str, device: str | None = None) -> str:
    """The precision of weights that are asked for as `asked` (device: None takes the best there is): `auto` is float32 on a CPU,
    and bfloat16 on a GPU whose hardware has it."""
    if asked != AUTO:
        return asked
    return FAST if _has_bfloat16(device or best_device()) else FULL


def resolve_autocast(asked: str | None) -> str | None:
    """`bfloat16` or None: `auto` casts only where a GPU has bfloat16."""
    if asked != AUTO:
        return asked
    return FAST if _has_bfloat16(best_device()) else None


def of_trained_weights(asked: str, method: str) -> str:
    """The precision in which weights are held while `method` trains them.

    `auto` holds them in float32 where all of them are trained: a step of 2e-5 is lost in a bfloat16 weight. Autocast still computes in bfloat16.
    """
    return FULL if asked == AUTO and method == "full" else asked


def _has_bfloat16(device: str) -> bool:
    if not device.startswith("cuda"):
        return False  # no CPU is punished: many only emulate it
    import torch

    return torch.cuda.is_bf16_supported(including_emulation=False)


def of_weights(folder: str | Path, asked: str, device: str | None = None) -> str:
    """The precision that weights of `folder` are to be loaded in, resolved and remembered. device: None takes the best there is."""
    device = device or best_device()
    used = resolve(asked, device)
    note_weights(folder, asked, used, device)
    return used


def note_weights(folder: str | Path, asked: str, used: str, device: str | None) -> None:
    """Remember what a model was loaded as, for the job's manifest; warn where this machine emulates it."""
    note(Use(str(folder), asked, used, device, stored(Path(folder)), _warned_of(used, device) if device else None))


def note_autocast(asked: str | None) -> bool:
    """Whether a training is to cast to bfloat16; remembered and warned of as above."""
    found, device = resolve_autocast(asked), best_device()
    note(Use(AUTOCAST, asked, found, device, slower=_warned_of(found, device)))
    return found == FAST


def note(use: Use) -> None:
    if use not in _USED:
        _USED.append(use)


def forget() -> None:
    """Begin anew: a process may run several jobs, one after the other."""
    _USED.clear()


def used() -> list[dict[str, Any]]:
    """What this process has used so far, in order."""
    return [asdict(use) for use in _USED]


def computed_in(uses: Sequence[dict[str, Any]]) -> list[str]:
    """The precisions in which a job with these uses computed: those of its autocast where it had one, else of its weights."""
    computing = [use for use in uses if use["device"] and use["used"]]
    cast = {use["used"] for use in computing if use["what"] == AUTOCAST}
    return sorted(cast or {use["used"] for use in computing})


def jobs_by_precision(jobs: Iterable[Sequence[dict[str, Any]]]) -> dict[str, int]:
    """precision -> how many jobs computed in it. jobs: the uses that each job's manifest holds."""
    return dict(sorted(Counter(kind for uses in jobs for kind in computed_in(uses)).items()))


def stored(folder: Path) -> str | None:
    """Precisions of a folder's weights on disk, read from their headers; None where it holds none."""
    from safetensors import safe_open

    found: set[str] = set()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "numpy") as handle:
            found |= {handle.get_slice(name).get_dtype() for name in handle.keys()}  # noqa: SIM118 (no mapping)
    names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}
    return ", ".join(sorted(names.get(name, name) for name in found)) or None


@cache
def _warned_of(dtype: str | None, device: str) -> float | None:
    """How many times slower than float32 `dtype` is on this device, said once a process; None where it is not."""
    if dtype in (None, FULL):
        return None
    ratio = slowdown(dtype, device)
    if ratio < SLOW:
        return None
    log.warning(
        "this machine emulates %s: a matmul takes %.1f times as long as in float32; `auto` would take float32 here",
        dtype,
        ratio,
    )
    return round(ratio, 1)


def slowdown(dtype: str, device: str) -> float:
    """Time of a small matmul in `dtype` over its time in float32, measured for a tenth of a second."""
    import torch

    rows, width, out = MATMUL
    pairs = {
        name: (torch.ones(rows, width, dtype=kind, device=device), torch.ones(width, out, dtype=kind, device=device))
        for name, kind in ((FULL, torch.float32), (dtype, getattr(torch, dtype)))
    }
    seconds: dict[str, list[float]] = {name: [] for name in pairs}
    end = time.perf_counter() + MEASURED_FOR
    while time.perf_counter() < end or min(map(len, seconds.values())) < 3:
        for name, (left, right) in pairs.items():
            started = time.perf_counter()
            torch.mm(left, right)
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - started)
    return statistics.median(seconds[dtype]) / statistics.median(seconds[FULL])
