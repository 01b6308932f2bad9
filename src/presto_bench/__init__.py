"""presto-bench: does a chat model's safety survive an attacker who may pick from ranks 2 to 20?

This file imports nothing, since it is part of every rule's code hash and of every parse of the Snakefile. Public names
are loaded on first use.
"""

import importlib

__version__ = "0.1.0"

PUBLIC = {
    "PrestoConfig": "presto_bench.config:PrestoConfig",
    "PrefillCollator": "presto_bench.training.own_trainer:PrefillCollator",
    "presto": "presto_bench.training.own_trainer:presto",
    "row": "presto_bench.training.own_trainer:row",
}
__all__ = ["__version__", *PUBLIC]


def __getattr__(name: str) -> object:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = PUBLIC[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
