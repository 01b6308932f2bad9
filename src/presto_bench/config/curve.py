"""The curve: families of arms, each trained ever more strongly, and what each family reaches at the same damage."""

from pydantic import Field, field_validator

from presto_bench.config.parts import Name, Strict


class Family(Strict):
    """Arms that differ in the strength of their training alone; the base, which is trained not at all, belongs to every family."""

    name: Name
    arms: list[Name] = Field(min_length=1)


class CurveConfig(Strict):
    """The first family is the reference that the others are compared with."""

    families: list[Family] = Field(min_length=1)

    @field_validator("families")
    @classmethod
    def _once(cls, families: list[Family]) -> list[Family]:
        arms = [arm for family in families for arm in family.arms]
        if len({family.name for family in families}) < len(families) or len(set(arms)) < len(arms):
            raise ValueError("name each family once, and each arm in one family")
        return families
