"""Before three days of a cluster: is what the experiment needs really within reach of *this* node? Nothing is computed and nothing is fetched.

Run it on a compute node with the GPUs of a training: `srun --gpus=4 presto-bench preflight --config config/paper.yaml`.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from presto_bench.config.arms import CheckpointArm, TrainingArm
from presto_bench.config.experiment import Config
from presto_bench.config.models import HubModel
from presto_bench.runs import access, plan

SPARE = 1.2  # times the planned disk that should be free


@dataclass(frozen=True)
class Check:
    """ok: True, False, or None where it could not be told here."""

    what: str
    ok: bool | None
    told: str

    def __str__(self) -> str:
        mark = {True: "ok     ", False: "MISSING", None: "unknown"}[self.ok]
        return f"{mark}  {self.what}: {self.told}" if self.told else f"{mark}  {self.what}"


def checks(config: Config) -> list[Check]:
    found = [Check(item.key, False, f"{item.what}; remedy: {item.remedy}") for item in access.missing(config)]
    found += [_weights(f"models.{m.name}", f"{m.name}/untouched", config, m) for m in config.models if isinstance(m, HubModel)]
    taken = [(arm, arm.source("auto")) for arm in config.arms if isinstance(arm, CheckpointArm)]
    if config.helper.model and isinstance(config.helper.entry(), HubModel):
        found.append(_weights("helper.model", "", config, config.helper.entry()))
    found += [_weights(f"arms.{a.name}", f"{a.of}/{a.name}", config, m) for a, m in taken if isinstance(m, HubModel)]
    return [*found, _disk(config), _devices(config), _processes(config)]


def _weights(key: str, place: str, config: Config, model: HubModel) -> Check:
    """In results already; in the cache; or at the hub, for this user."""
    folder = Path("results") / config.experiment
    if (folder / "models" / place / "seed0" if place else folder / "data/helper_model").is_dir():
        return Check(key, True, "fetched and converted")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if _cached(model):
        return Check(key, True, "in the offline cache (downloads/)")
    try:
        HfApi().auth_check(model.id)
    except HfHubHTTPError as error:
        remedy = f"accept the licence at https://huggingface.co/{model.id} and set HF_TOKEN"
        return Check(key, False, f"the hub does not hand out {model.id} ({type(error).__name__}); {remedy}")
    except Exception as error:  # no network on this node: what the hub's client raises then is its HTTP library's own
        remedy = "run `snakemake fetch` on the login node first"
        return Check(key, False, f"not in the cache, and the hub is out of reach ({type(error).__name__}); {remedy}")
    return Check(key, True, "the hub hands it out")


def _cached(model: HubModel) -> bool:
    """Whether the download is whole: every file of weights that its index names, or the one that there is."""
    from huggingface_hub import try_to_load_from_cache

    def path(name: str) -> str | None:
        found = try_to_load_from_cache(model.id, name, cache_dir="downloads", revision=model.revision)
        return found if isinstance(found, str) else None

    index = path("model.safetensors.index.json")
    if index is None:
        return path("config.json") is not None and path("model.safetensors") is not None
    return all(path(name) for name in set(json.loads(Path(index).read_text())["weight_map"].values()))


def _disk(config: Config) -> Check:
    wanted = float(plan.table(config)["disk_gb"].sum()) * SPARE
    folder = Path("results") if Path("results").exists() else Path()
    free = shutil.disk_usage(folder).free / 1e9
    told = f"{free:.0f} GB free in {folder.resolve()}, {wanted:.0f} GB planned"
    return Check(
        "disk", free >= wanted, told if free >= wanted else f"{told}: free some, or link results/ to a larger file system"
    )


def _devices(config: Config) -> Check:
    import torch

    wanted = max((plan.gpus(config, model) for model in config.models), default=0)
    there = torch.cuda.device_count()
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(there)) or "none"
    return Check("GPUs", there >= wanted, f"{there} here ({names}), a job asks for {wanted}")


def _processes(config: Config) -> Check:
    """A group of two processes forms on this node, as training will ask for."""
    most = max((arm.launch.processes for arm in config.arms if isinstance(arm, TrainingArm)), default=1)
    if most == 1:
        return Check("process group", True, "training runs in one process")
    import torch

    from presto_bench.training import launch

    if torch.cuda.device_count() == 1:
        return Check("process group", None, f"{most} processes a training, one GPU here: ask for {most} (srun --gpus={most})")
    problem = launch.rehearse(2)
    return Check(
        "process group", problem is None, f"{most} processes a training; a group of two " + (problem or "formed and summed")
    )
