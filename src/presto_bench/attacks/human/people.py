"""Who works on which target, without being told which it is: people from a file, targets by a seeded draw (human RAP, docs/reference/attacks.md)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from presto_bench import draws, tables
from presto_bench.errors import UserError

LEVELS = ("expert", "intermediate", "novice")
COLUMNS = ("person", "level", "targets")
ALL = "all"


@dataclass(frozen=True)
class Target:
    """An arm of a model, trained with a seed."""

    model: str
    arm: str
    seed: int


@dataclass(frozen=True)
class Person:
    """targets: on how many of them this person works; None: on all. arms: some of which alone; empty: any."""

    name: str
    level: str
    targets: int | None
    arms: tuple[str, ...] = ()


def read(path: Path, arms: Sequence[str]) -> list[Person]:
    """The people of a CSV with columns person, level, targets (a number, or `all`) and, if wanted, arms (names, with spaces between them)."""
    if not path.exists():
        raise UserError(path, "there is no such file", f"a CSV with columns {', '.join(COLUMNS)}, one row a person")
    try:
        frame = tables.read_csv(path, dtype=dict.fromkeys((*COLUMNS, "arms"), str)).fillna("")
    except ValueError as error:
        raise UserError(path, f"is no CSV: {error}", f"its columns are {', '.join(COLUMNS)}, and arms if wanted") from error
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise UserError(path, f"has no column {missing[0]!r}", f"its columns are {', '.join(COLUMNS)}, and arms if wanted")
    people = [_person(f"{path}, row {i + 2}", row, arms) for i, row in enumerate(tables.records(frame))]
    names = Counter(person.name for person in people)
    twice = [name for name, count in names.items() if count > 1]
    if twice or not people:
        told = f"{twice[0]!r} stands twice" if twice else "nobody stands in it"
        raise UserError(path, told, "one row a person")
    return people


def _person(where: str, row: Mapping[str, str], arms: Sequence[str]) -> Person:
    name, level, targets = (row[column].strip() for column in COLUMNS)
    own = tuple(row.get("arms", "").split())
    if not name or "/" in name or name.startswith("."):
        raise UserError(where, f"{name!r} cannot be the name of a folder", "take letters, digits and dashes")
    if level not in LEVELS:
        raise UserError(where, f"there is no level {level!r}", f"one of: {', '.join(LEVELS)}")
    if targets != ALL and not (targets.isdigit() and int(targets)):
        raise UserError(where, f"targets is {targets!r}", "a number, or `all`")
    unknown = [arm for arm in own if arm not in arms]
    if unknown:
        raise UserError(where, f"there is no arm {unknown[0]!r}", f"some of: {', '.join(arms)}")
    return Person(name, level, None if targets == ALL else int(targets), own)


def assigned(people: Sequence[Person], targets: Sequence[Target], seed: int) -> dict[str, list[Target]]:
    """person -> targets, in the order of work.

    A person with a limited number of targets gets those that the fewest people have so far; ties are broken by a seeded
    draw.
    """
    found: dict[str, list[Target]] = {}
    taken: Counter[Target] = Counter()
    # Those who work on all come first: they change no balance, and the others fill it up.
    for person in sorted(people, key=lambda person: (person.targets is not None, person.name)):
        open_to = [target for target in targets if not person.arms or target.arm in person.arms]
        if person.targets is not None and person.targets > len(open_to):
            raise UserError(person.name, f"is to work on {person.targets} targets, of {len(open_to)}", "ask for fewer")
        order = draws.generator("blind_targets", seed, person.name).permutation(len(open_to))
        drawn = [open_to[i] for i in order]
        if person.targets is not None:
            drawn = sorted(drawn, key=lambda target: taken[target])[: person.targets]
            taken.update(drawn)
        found[person.name] = drawn
    return found
