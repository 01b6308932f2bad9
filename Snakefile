"""presto-bench: does a chat model's safety survive an attacker who may pick from ranks 2 to 20?

snakemake --cores all                                   the stand-in experiment (config/config.yaml)
snakemake --cores all --configfile config/seeds.yaml    another experiment
snakemake --cores all data | finetune | attack | grade | tables | figures | figure_<name>      so far and no further
snakemake --cores all --report report.html              the browsable report of a finished run
"""

import os

from snakemake.utils import min_version

min_version("9.0")

if "models" not in config:  # no --configfile; --config may rename the default experiment

    configfile: "config/config.yaml" if os.path.exists("config/config.yaml") else f"{workflow.basedir}/config/config.yaml"


include: "rules/common.smk"


report: str(Path(RESULTS, "front.rst").resolve())


wildcard_constraints:
    model=one_of(MODELS),
    arm=one_of([*ARMS, *GRID["arms"], "untouched"]),
    seed=r"\d+",
    shard=r"\d+",
    shards=r"\d+",
    attack=one_of([*ATTACKS, *GRID["attacks"]]),
    judge=one_of(JUDGES),
    task=one_of([*TASKS, *GRID["tasks"]]),
    refusals="greedy|sampled|varied|given",


rule all:
    default_target: True
    input:
        f"{RESULTS}/summary.json",
        f"{RESULTS}/manifest.json",
        f"{RESULTS}/front.rst",
        f"{RESULTS}/report/index.html",
        TABLES,
        FIGURES,
        [f"{RESULTS}/verdicts.json"] if CONFIG.claims else [],


include: "rules/sources.smk"
include: "rules/data.smk" if STANDIN else "rules/harm.smk"


if FACTS:

    include: "rules/facts.smk"


include: "rules/model.smk"
include: "rules/finetune.smk"
include: "rules/attack.smk"
include: "rules/measure.smk"
include: "rules/grade.smk"
include: "rules/analyse.smk"
include: "rules/report.smk"
include: "rules/page.smk"


if CONFIG.strength:

    include: "rules/strength.smk"


if CONFIG.audit:

    include: "rules/audit.smk"


if CONFIG.curve:

    include: "rules/curve.smk"


include: "rules/targets.smk"


onstart:
    require_all()
    begin_on_cluster()


onsuccess:
    print(closing.screen(Path(log[0]), CONFIG, STARTED))


onerror:
    print(closing.screen(Path(log[0]), CONFIG, STARTED))
