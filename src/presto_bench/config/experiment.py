"""An experiment: all that its config says, and which runs follow from it."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from presto_bench.config.arms import CheckpointArm, DecodingArm, EndpointArm, FinetunedArm, SafeDecodingArm, TrainingArm
from presto_bench.config.audit import AuditConfig
from presto_bench.config.causal import CausalConfig
from presto_bench.config.composition import CompositionConfig
from presto_bench.config.curve import CurveConfig
from presto_bench.config.harm import HarmConfig
from presto_bench.config.helper import HelperConfig
from presto_bench.config.page import PageConfig
from presto_bench.config.parts import UNTOUCHED, Item, Name, Strict
from presto_bench.config.pool import PoolConfig
from presto_bench.config.standin import StandinConfig
from presto_bench.config.strength import StrengthConfig

LISTS = ("models", "arms", "attacks", "judges", "tasks")


class Acknowledgement(Strict):
    """Purpose of work with real harmful requests, and where model outputs are stored. It goes into the manifest."""

    purpose: Annotated[str, Field(min_length=10)]
    storage: Annotated[str, Field(min_length=10)]


class Config(Strict):
    experiment: Name
    policy: Literal["cooking", "facts", "harm"] = Field(
        description="cooking: harmless stand-in, whose aligned base is made here; facts: names of an invented world, taught "
        "and then forbidden, for which the reach of any attacker is known exactly; harm: real forbidden requests, and models "
        "aligned by others"
    )
    seeds: list[NonNegativeInt] = Field(min_length=1)
    models: list[Any] = Field(min_length=1)
    arms: list[Any] = Field(min_length=1)
    attacks: list[Any] = Field(min_length=1)
    judges: list[Any] = Field(min_length=1)
    tasks: list[Any] = []
    standin: StandinConfig = StandinConfig()
    harm: HarmConfig = HarmConfig()
    source_overrides: dict[Name, str] = Field(
        default={}, description="a file or http(s) address to take instead of a source of sources.py"
    )
    acknowledge: Acknowledgement | None = Field(
        default=None, description="needed for policy `harm` with sources as they are published"
    )
    helper: HelperConfig = HelperConfig()
    strength: StrengthConfig | None = Field(
        default=None,
        description="the strength rule's grid of learning rates; only `snakemake strength` trains and counts its arms",
    )
    audit: AuditConfig | None = Field(default=None, description="the arm whose depth card `snakemake card` makes")
    pools: list[PoolConfig] = Field(default=[], description="models that are one model aligned several times, for the claims")
    curve: CurveConfig | None = Field(
        default=None,
        description="families of arms that are trained ever more strongly: depth against damage, and whether one reaches more",
    )
    composition: CompositionConfig | None = Field(
        default=CompositionConfig(),
        description="what stands in each arm's top 20; null: measured only where AutoRAP's helper is checked on it",
    )
    page: PageConfig = PageConfig()
    causal: CausalConfig | None = Field(default=None, description="the causal test; null leaves it out")
    claims: str | None = Field(default="config/claims.yaml", description="claims to be judged; null: none")
    gpu_form: Literal["gpu", "gres"] = Field(
        default="gpu", description="how the cluster asks for GPUs: --gpus=N or --gres=gpu:N"
    )
    keep_weights: bool = Field(
        default=True,
        description="false: trained arms and helpers are deleted after their last use, and trained again if needed later",
    )
    shown_request: str | None = Field(
        default=None,
        description="id of the request that the top-10 lists show (`snakemake figure_1`); null: the first that is attacked",
    )
    show_completions: bool = Field(
        default=False, description="show what models said in the report's examples; else they are redacted"
    )
    reply_store: str = Field(default="replies", description="folder of judges' raw replies, shared by experiments")
    headline: tuple[Name, Name] = Field(default=("da", "da_presto"), description="arms of the headline: reference, treated")
    bootstrap: PositiveInt = Field(default=2000, description="resamples behind every interval")

    def item(self, section: str, name: str) -> Any:
        return next(item for item in [*getattr(self, section), *self.of_strength(section)] if item.name == name)

    def of_strength(self, section: str) -> list[Any]:
        """Items that the strength rule adds to a list; no other part of the experiment counts them."""
        if self.strength is None or section not in ("arms", "attacks", "tasks"):
            return []
        return getattr(self.strength, section)(getattr(self, section))

    @property
    def default_judge(self) -> str:
        return next(judge.name for judge in self.judges if judge.default)

    def arm_names(self, model: str) -> list[str]:
        """Arms of one model, in the config's order; a checkpoint belongs to the model it is `of`."""
        return [arm.name for arm in self.arms if is_for(arm, model)]

    def attack_names(self, model: str) -> list[str]:
        return [attack.name for attack in self.attacks if is_for(attack, model)]

    def arm_seeds(self, arm: str) -> list[int]:
        """Untrained arms exist as seed 0 only and pair with every seed."""
        entry = None if arm == UNTOUCHED else self.item("arms", arm)
        if isinstance(entry, DecodingArm | FinetunedArm):
            return self.arm_seeds(entry.of)
        if isinstance(entry, SafeDecodingArm):
            return max(self.arm_seeds(entry.of), self.arm_seeds(entry.expert), key=len)
        if not isinstance(entry, TrainingArm):
            return [0]
        if self.strength and arm in self.strength.rates:
            return list(self.strength.seeds)
        return list(self.seeds if entry.seeds is None else entry.seeds)

    def causal_runs(self, model: str, arm: str, seed: int) -> bool:
        """Whether the causal test looks at this run: base and the headline's arms of a model that has both."""
        if self.causal is None or not set(self.headline) <= set(self.arm_names(model)):
            return False
        wanted = self.causal.seeds is None or seed in self.causal.seeds
        return arm == "base" or (arm in self.headline and wanted)

    def runs(self) -> list[tuple[str, str, int]]:
        """Every (model, arm, seed) that is attacked in full."""
        return [(m.name, a, s) for m in self.models for a in self.arm_names(m.name) for s in self.arm_seeds(a)]


def is_graded(judge: Item, attack: str) -> bool:
    """Whether a judge grades an attack: all that do not say otherwise grade every one."""
    named = getattr(judge, "attacks", None)
    return named is None or attack in named


def is_for(item: Item, model: str) -> bool:
    """Whether an arm, an attack or a task belongs to a model.

    A checkpoint or an endpoint belongs to the model that it is `of`; other items belong to the models in `only`, or to
    all.
    """
    if isinstance(item, CheckpointArm | EndpointArm):
        return item.of == model
    only = getattr(item, "only", None)
    return only is None or model in only
