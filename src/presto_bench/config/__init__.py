"""The typed config: every key, its default and its check. Torch-free; every mistake is refused before any job.

A module of this project names the part that it needs, so that an edit to another part reruns nothing of it; plug-ins and tests take any name from here.
"""

from presto_bench.config.answers import AnswersConfig
from presto_bench.config.arms import CheckpointArm, DecodingArm, EndpointArm, FinetunedArm, NoArm, SafeDecodingArm, TrainingArm
from presto_bench.config.causal import UNPATCHED, CausalConfig
from presto_bench.config.composition import CompositionConfig
from presto_bench.config.experiment import LISTS, Acknowledgement, Config, is_for, is_graded
from presto_bench.config.harm import HarmConfig
from presto_bench.config.helper import HelperConfig
from presto_bench.config.models import (
    ChatConfig,
    EndpointModel,
    HubModel,
    LocalModel,
    ModelConfig,
    ModelData,
    PypiModel,
    Resources,
    SamplingConfig,
)
from presto_bench.config.parts import OWN, UNTAUGHT, UNTOUCHED, Dtype, Item, Name, Only, Share, Strict, canonical
from presto_bench.config.reading import inherit, load, read, validate
from presto_bench.config.standin import Limits, StandinConfig
from presto_bench.config.training import KlConfig, LaunchConfig, LoraConfig, PrestoConfig, TrainingConfig, TransitionConfig

__all__ = [
    "LISTS",
    "OWN",
    "UNPATCHED",
    "UNTAUGHT",
    "UNTOUCHED",
    "Acknowledgement",
    "AnswersConfig",
    "CausalConfig",
    "ChatConfig",
    "CheckpointArm",
    "CompositionConfig",
    "Config",
    "DecodingArm",
    "Dtype",
    "EndpointArm",
    "EndpointModel",
    "FinetunedArm",
    "HarmConfig",
    "HelperConfig",
    "HubModel",
    "Item",
    "KlConfig",
    "LaunchConfig",
    "Limits",
    "LocalModel",
    "LoraConfig",
    "ModelConfig",
    "ModelData",
    "Name",
    "NoArm",
    "Only",
    "PrestoConfig",
    "PypiModel",
    "Resources",
    "SafeDecodingArm",
    "SamplingConfig",
    "Share",
    "StandinConfig",
    "Strict",
    "TrainingArm",
    "TrainingConfig",
    "TransitionConfig",
    "canonical",
    "inherit",
    "is_for",
    "is_graded",
    "load",
    "read",
    "validate",
]
