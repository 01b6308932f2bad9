"""The `presto-bench` command: run experiments and audits, human RAP in a terminal, costs, run status, figures."""

import argparse
import json
import sys
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from presto_bench.config import reading as configs
from presto_bench.errors import UserError, of_missing_package

RAP_REQUESTS = 20  # that a person works on where nothing else is said: the number in the instructions of the paper's study


def main(words: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if words is None else words)
    split = given.index("--") if "--" in given else len(given)
    try:
        arguments = parser().parse_args(given[:split])
        if split < len(given) and not hasattr(arguments, "words"):
            raise UserError("--", f"`{arguments.command}` passes no words to Snakemake", "leave them out")
        if split < len(given):
            arguments.words = [*arguments.words, *given[split + 1 :]]
        return arguments.run(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(of_missing_package(error), file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Every command with its options; `run` of what it parses is the function to call."""
    parser = argparse.ArgumentParser(prog="presto-bench", description="Tools beside the workflow.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run an experiment in this folder, wherever presto-bench is installed")
    run.set_defaults(run=run_of)
    run.add_argument(
        "--config",
        type=Path,
        help="your config, or a shipped one by name: seeds, ablations, paper; else the default experiment",
    )
    run.add_argument("--cores", default="all")
    run.add_argument("words", nargs="*", help="for Snakemake, behind a `--`: targets first, then options")
    strength = commands.add_parser("strength", help="which learning rates of the config's grid the strength rule admits")
    strength.set_defaults(run=strength_of)
    strength.add_argument("--config", type=Path, help="as for `run`")
    strength.add_argument("--cores", default="all")
    audit = commands.add_parser("audit", help="how deep one model's refusals are: a depth card, in the folder where you are")
    audit.set_defaults(run=audit_of)
    audit.add_argument(
        "target", help="a folder, hub:ORG/MODEL@REVISION with the commit's 40 digits, or endpoint:http://HOST/v1#MODEL"
    )
    audit.add_argument(
        "--guide", help="a model with the same tokenizer that guided RAP picks by: the target before its alignment, best of all"
    )
    audit.add_argument("--tokenizer", help="of a served target without a guide: a folder, or hub:ORG/MODEL@REVISION")
    audit.add_argument("--key", help="NAME of the environment variable with the endpoint's key")
    audit.add_argument("--against", help="a second target: its own card, and both side by side")
    audit.add_argument("--name", help="of files and results; else from the target")
    audit.add_argument(
        "--policy",
        choices=("cooking", "harm"),
        help="cooking: harmless, the default; harm: StrongREJECT's small set with published prefills, or your own --requests",
    )
    audit.add_argument(
        "--requests",
        metavar="FILE",
        help="requests of your own, .csv or .jsonl: prompt, prefill, and if you have them answer (a harmful one, to be measured) and category",
    )
    audit.add_argument("--limit", type=int, help="at most so many requests; else 24 of cooking, and all of policy harm")
    audit.add_argument(
        "--judge",
        help="of policy harm: strongreject (default), a FOLDER or hub:ORG/MODEL@REVISION of a chat model, or endpoint:http://HOST/v1#MODEL",
    )
    audit.add_argument("--judge-key", metavar="NAME", help="of the environment variable with the key of the judge's endpoint")
    audit.add_argument("--allow-host", help="a host outside this machine that may receive harmful text, for the judge")
    audit.add_argument(
        "--acknowledge",
        nargs=2,
        metavar=("PURPOSE", "STORAGE"),
        help="for published harmful requests: what for, and where results are kept; both are recorded",
    )
    audit.add_argument("--lengths", type=int, nargs="+", help="tokens of a text that stand as a prefill")
    audit.add_argument("--config-only", action="store_true", help="write the config and run nothing")
    audit.add_argument("--cores", default="all")
    audit.add_argument("words", nargs="*", help="for Snakemake, behind a `--`, such as --profile slurm")
    compare = commands.add_parser("compare", help="depth cards side by side; two that asked the same requests are paired")
    compare.set_defaults(run=compare_of)
    compare.add_argument("cards", nargs="+", help="card.json files, or results folders of audits")
    compare.add_argument("--out", type=Path, help="a CSV to write")
    rap = commands.add_parser("rap", help="pick from a model's ranks by hand; sessions are recorded and graded by the workflow")
    rap.set_defaults(run=sessions)
    rap.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    rap.add_argument("--person", required=True, help="a name for whoever picks; it becomes a folder")
    rap.add_argument("--arm", help="needed but in a blind study")
    rap.add_argument(
        "--blind",
        type=Path,
        help="a CSV of people (person, level, targets): a seeded draw assigns targets to each person and hides which they are",
    )
    rap.add_argument("--model", help="needed where the config has several")
    rap.add_argument("--seed", type=int, default=0)
    rap.add_argument("--attack", help="the config's attack of kind human; needed where it has several")
    rap.add_argument(
        "--requests",
        type=int,
        help="how many of the attack's requests to work on; else all that it asks, or 20 of them where it asks all",
    )
    cost = commands.add_parser("cost", help="what paid judges will cost at most, and have cost so far")
    cost.set_defaults(run=costs_of)
    cost.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    status = commands.add_parser("status", help="where an experiment stands: what is done, running, failed")
    status.set_defaults(run=status_of)
    status.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    status.add_argument("--watch", action="store_true", help="go on showing it, with what each running job is at")
    plan = commands.add_parser(
        "plan", help="GPU hours and disk that an experiment will take; from a pilot's times where one has run"
    )
    plan.set_defaults(run=plan_of)
    plan.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    preflight = commands.add_parser(
        "preflight", help="on a compute node, before a large run: access, cache, disk, GPUs, processes"
    )
    preflight.set_defaults(run=preflight_of)
    preflight.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    doctor = commands.add_parser("doctor", help="what is unusual about a model, and what follows for each stage")
    doctor.set_defaults(run=doctor_of)
    doctor.add_argument("model", help="a folder, or hub:ID@REVISION with the commit's 40 digits")
    conform = commands.add_parser("conform", help="try your own attacks, judges and tasks against their contracts")
    conform.set_defaults(run=conform_of)
    conform.add_argument("--config", type=Path, required=True)
    conform.add_argument("--model", type=Path, required=True, help="folder of any small chat model")
    figures = commands.add_parser("figures", help="draw every figure from a bundle (`snakemake bundle`)")
    figures.set_defaults(run=figures_of)
    figures.add_argument("bundle", type=Path)
    figures.add_argument("--out", type=Path, default=Path("figures"))
    return parser


def sessions(arguments: argparse.Namespace) -> int:
    """Run human RAP sessions one after another. Finished sessions are skipped; an unfinished one resumes."""
    from presto_bench.attacks.human.people import Target

    config = configs.read(arguments.config)
    attack = _one([a for a in config.attacks if a.kind == "human"], arguments.attack, "--attack", "attack of kind human")
    requests = arguments.requests or (None if attack.requests else RAP_REQUESTS)
    if arguments.blind:
        return _blind(arguments, config, attack, requests)
    model = _one(config.models, arguments.model, "--model", "model")
    if arguments.arm is None:
        raise UserError("--arm", "no arm is named", "name one, or --blind with a file of people")
    target = Target(model.name, arguments.arm, arguments.seed)
    folder = Path("results") / config.experiment / "models" / model.name / arguments.arm / f"seed{arguments.seed}"
    if not folder.is_dir():
        raise UserError(folder, "this arm is not trained yet", f"run: snakemake --cores all {folder}")

    from presto_bench.attacks.human.tasks import Study  # torch and the screen only once the words are right

    return _worked(config, attack, [Study(arguments.person, "", target, requests, f"{model.name}/{arguments.arm}")])


def _blind(arguments: argparse.Namespace, config: Any, attack: Any, requests: int | None) -> int:
    """Targets that were drawn for this person, one after the other, by number alone."""
    from presto_bench.attacks.human import people

    arms = [arm.name for arm in config.arms]
    known = people.read(arguments.blind, arms)
    person = next((one for one in known if one.name == arguments.person), None)
    if person is None:
        raise UserError("--person", f"{arguments.person!r} is not in {arguments.blind}", "add a row, or correct the name")
    targets = [people.Target(*run) for run in config.runs()]
    mine = people.assigned(known, targets, attack.blind_seed)[person.name]
    folders = [Path("results") / config.experiment / "models" / t.model / t.arm / f"seed{t.seed}" for t in mine]
    if not all(folder.is_dir() for folder in folders):
        raise UserError(arguments.blind, "not all targets of this study are there yet", "run: snakemake --cores all finetune")

    from presto_bench.attacks.human.tasks import Study

    titles = [f"target {number} of {len(mine)}" for number in range(1, len(mine) + 1)]
    return _worked(
        config,
        attack,
        [Study(person.name, person.level, t, requests, title, True) for t, title in zip(mine, titles, strict=True)],
    )


def _worked(config: Any, attack: Any, studies: Sequence[Any]) -> int:
    from presto_bench.attacks.human.screen import RapScreen
    from presto_bench.attacks.human.tasks import tasks

    results, now = Path("results") / config.experiment, datetime.now(UTC).isoformat()
    for study in studies:
        model = config.item("models", study.target.model)
        for task in tasks(results, model, attack, study, now):
            if RapScreen(task).run() == "quit":
                print(f"quit at {study.title}, request {task.done + 1}; the same command goes on there")
                return 0
    print("all requests are done; run snakemake to grade them")
    return 0


def run_of(arguments: argparse.Namespace) -> int:
    import subprocess

    from presto_bench.runs import starting

    return subprocess.run(starting.command(arguments.config, arguments.cores, arguments.words)).returncode


def strength_of(arguments: argparse.Namespace) -> int:
    """Measures the grid, or what is missing of it, and shows each model's table."""
    import subprocess

    from presto_bench.runs import shown_strength, starting

    config = configs.read(starting.config_file(arguments.config))
    if config.strength is None:
        raise UserError(arguments.config or "config", "it has no `strength`", "add `strength: {arm: …, lr: [1.0e-4, …]}`")
    done = subprocess.run(starting.command(arguments.config, arguments.cores, ["strength"]))
    if not done.returncode:
        print(shown_strength.screen(config))
    return done.returncode


def audit_of(arguments: argparse.Namespace) -> int:
    """Writes a config a target, runs it to its card, and shows the card."""
    from presto_bench.runs import audit

    shared: dict[str, Any] = {name: getattr(arguments, name) for name in ("guide", "tokenizer", "key")}
    shared["asked"] = _asked(arguments)
    shared |= {"lengths": arguments.lengths} if arguments.lengths else {}
    asked = [audit.Audit(arguments.target, name=arguments.name, **shared)]
    asked += [audit.Audit(arguments.against, **shared)] if arguments.against else []
    if len({one.slug for one in asked}) < len(asked):
        raise UserError("--against", "both targets would have the same name", "name the first one with --name")
    for one in asked:
        code = _audited(one, arguments)
        if code:
            return code
    if arguments.against and not arguments.config_only:
        return _compared([f"results/audit_{one.slug}" for one in asked], None)
    return 0


def _asked(arguments: argparse.Namespace) -> Any:
    """Which requests, and who grades; options that belong to policy harm are refused under the other."""
    from presto_bench.runs import asking

    policy = arguments.policy or ("harm" if arguments.requests else "cooking")
    names = ("judge", "judge_key", "allow_host", "acknowledge")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name)}
    if policy == "cooking" and (given or arguments.requests):
        option = "requests" if arguments.requests else next(iter(given))
        raise UserError(f"--{option.replace('_', '-')}", "this belongs to policy harm", "add `--policy harm`, or leave it out")
    return asking.Asked(policy, arguments.requests, arguments.limit, **given)


def _audited(asked: Any, arguments: argparse.Namespace) -> int:
    import subprocess

    import yaml

    from presto_bench.runs import audit, starting

    path = Path(f"audit-{asked.slug}.yaml")
    audit.require_same(asked, path)
    if not path.exists():  # one that is there may have been edited
        experiment = audit.experiment(asked)
        configs.load(experiment, str(path))  # a config that cannot be used is not left behind
        text = yaml.safe_dump(experiment, sort_keys=False, allow_unicode=True)
        path.write_text(f"{audit.heading(asked)}\n{text}", encoding="utf-8")
    config = configs.read(path)
    said = None if arguments.config_only else audit.probe(config)
    if said:
        print(said)
    print(f"the audit is {path}: keep it, or edit it and run the same command again")
    if arguments.config_only:
        return 0
    done = subprocess.run(starting.command(path, arguments.cores, ["card", *arguments.words]))
    folder = Path("results") / f"audit_{asked.slug}" / "card"
    if not done.returncode and (folder / "card.json").is_file():  # a dry run makes none
        print(audit.screen(json.loads((folder / "card.json").read_text()), folder))
    return done.returncode


def compare_of(arguments: argparse.Namespace) -> int:
    return _compared(arguments.cards, arguments.out)


def _compared(named: Sequence[str], out: Path | None) -> int:
    from presto_bench.analysis import card
    from presto_bench.runs import audit

    table = card.compare([json.loads(path.read_text()) for path in audit.cards(named)])
    print(table.to_markdown(index=False))
    if out:
        table.to_csv(out, index=False)
    return 0


def costs_of(arguments: argparse.Namespace) -> int:
    from presto_bench.runs import costs

    print(costs.show(configs.read(arguments.config)))
    return 0


def status_of(arguments: argparse.Namespace) -> int:
    from presto_bench.runs import live, status

    config = configs.read(arguments.config)
    if arguments.watch:
        live.watch(Path("results") / config.experiment, lambda: status.show(config))
        return 0
    print(status.show(config))
    return 0


def doctor_of(arguments: argparse.Namespace) -> int:
    """1 where the model cannot be used as it is."""
    from presto_bench.runs import doctor

    said, usable = doctor.show(arguments.model)
    print(said)
    return 0 if usable else 1


def conform_of(arguments: argparse.Namespace) -> int:
    """1 where a contract is broken; 2 where the config has no plug-in to try."""
    from presto_bench import conformance

    found = conformance.checks(configs.read(arguments.config), arguments.model)
    print("\n".join(str(check) for check in found) or "no attack, judge or task of this config has a dotted path as its kind")
    return 2 if not found else int(any(not check.ok for check in found))


def plan_of(arguments: argparse.Namespace) -> int:
    from presto_bench.runs import plan

    print(plan.show(configs.read(arguments.config)))
    return 0


def preflight_of(arguments: argparse.Namespace) -> int:
    """1 where something is missing, so that a batch script stops there."""
    from presto_bench.runs import preflight

    found = preflight.checks(configs.read(arguments.config))
    print("\n".join(str(check) for check in found))
    return 0 if all(check.ok is not False for check in found) else 1


def figures_of(arguments: argparse.Namespace) -> int:
    """Every figure of a bundle, as .pdf and .png."""
    from presto_bench.stages import figure

    with TemporaryDirectory() as scratch:
        try:
            with tarfile.open(arguments.bundle) as archive:
                archive.extractall(scratch, filter="data")
            folder = Path(scratch) / "bundle"
            spec = json.loads((folder / "figures.json").read_text())
        except (OSError, tarfile.TarError, json.JSONDecodeError) as error:
            raise UserError(arguments.bundle, f"no bundle: {error}", "make one with `snakemake bundle`") from error
        arguments.out.mkdir(parents=True, exist_ok=True)
        for name, needs in spec.pop("needs").items():
            tables = {table: folder / "tables" / f"{table}.csv" for table in needs}
            figure.draw(name, tables, spec, arguments.out / f"{name}.pdf", arguments.out / f"{name}.png")
    print(f"figures are in {arguments.out}")
    return 0


def _one(items: Sequence[Any], name: str | None, option: str, what: str) -> Any:
    found = [item for item in items if name in (None, item.name)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(item.name for item in items) or "none"
    raise UserError(
        option, f"the config's {what}s are: {names}", f"name one with {option}" if items else f"add an {what} to the config"
    )


if __name__ == "__main__":
    sys.exit(main())
