"""How far training moved a model's weights."""

from pathlib import Path

import torch
from safetensors import safe_open

from presto_bench.errors import UserError


def norms(trained: Path, start: Path) -> tuple[float, float]:
    """Frobenius norm of (trained - start) over all weights, and that of `start`. Both are folders of safetensors with the same names and shapes."""
    places = _places(start)
    moved, of = 0.0, 0.0
    found = _places(trained)
    if found.keys() != places.keys():
        differing = sorted(found.keys() ^ places.keys())
        raise UserError(
            trained, f"its weights are not those of {start} trained: {differing[0]} is in one of them", "train it anew"
        )
    for name, file in places.items():
        before, after = _tensor(file, name), _tensor(found[name], name)
        if before.shape != after.shape:
            raise UserError(trained, f"{name} has another shape than in {start}", "train it anew")
        moved += float((after - before).square().sum())
        of += float(before.square().sum())
    return moved**0.5, of**0.5


def _places(folder: Path) -> dict[str, Path]:
    """Name of a tensor -> its file."""
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as handle:
            found |= dict.fromkeys(handle.keys(), file)
    return found


def _tensor(file: Path, name: str) -> torch.Tensor:
    """In float64: differences are small beside the weights."""
    with safe_open(file, "pt") as handle:
        return handle.get_tensor(name).double()
