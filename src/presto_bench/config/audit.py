"""An audit: which arm is looked at, and what its card says of how."""

from pydantic import Field

from presto_bench.config.parts import Name, Strict


class Unmeasured(Strict):
    """Something that a reader would look for, and why it is not there."""

    what: str
    why: str


class AuditConfig(Strict):
    """`snakemake card` makes results/<experiment>/card/: the depth card of one arm. Written by `presto-bench audit`, and yours to edit."""

    model: Name
    arm: Name
    target: str = Field(description="what was asked for, as it was named")
    guide: str | None = Field(
        default=None, description="the model with the same tokenizer that guided RAP picks by; null: there is none"
    )
    notes: list[str] = []
    not_measured: list[Unmeasured] = []
