# Figures, the run's manifest, and Snakemake's own report of it all.
# Needs: tables/. Makes: figures/, front.rst, manifest.json, report.html.


rule figure:
    input:
        unpack(lambda w: {name: f"{RESULTS}/tables/{name}.csv" for name in (FIGURE_NEEDS | ON_DEMAND)[w.figure]}),
    output:
        pdf=f"{RESULTS}/figures/{{figure}}.pdf",
        png=report(f"{RESULTS}/figures/{{figure}}.png", caption="../workflow/report/figure.rst", category="2 Result"),
    log:
        f"{RESULTS}/logs/figure/{{figure}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/figure/{{figure}}.tsv"
    wildcard_constraints:
        figure=one_of(FIGURE_NEEDS | ON_DEMAND),
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(
            **EXPERIMENT.shown(), methods=EXPERIMENT.methods() if EXPERIMENT.compares_methods() else {}, rap=EXPERIMENT.rap()
        ),
        code=lambda w: hashed("presto_bench.stages.figure", f"presto_bench.report.figures.{w.figure}"),
    script:
        "../workflow/scripts/figure.py"


# The paper's own items by their own names - tables as files, figures as the figure that they are. targets.smk has their names.
rule paper_table:
    input:
        unpack(lambda w: {name: f"{RESULTS}/tables/{name}.csv" for name in items.ITEMS[f"table_{w.number}"].needs}),
    output:
        table=f"{RESULTS}/paper/table_{{number}}.csv",
    log:
        f"{RESULTS}/logs/paper_table/{{number}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/paper_table/{{number}}.tsv"
    wildcard_constraints:
        number=r"\d+",
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(kinds=EXPERIMENT.kinds(), judge=DEFAULT_JUDGE),
        code=code("paper_table"),
    script:
        "../workflow/scripts/paper_table.py"


rule paper_figure:
    input:
        lambda w: f"{RESULTS}/figures/{items.ITEMS[f'figure_{w.number}'].figure}.{w.ending}",
    output:
        f"{RESULTS}/paper/figure_{{number}}.{{ending}}",
    log:
        f"{RESULTS}/logs/paper_figure/{{number}}.{{ending}}.log",
    wildcard_constraints:
        number=r"\d+",
        ending="pdf|png",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    shell:
        "cp {input} {output} 2> {log}"


# What was found, in one reading - Snakemake's report opens with it.
rule front_page:
    input:
        unpack(lambda w: {"verdicts": f"{RESULTS}/tables/verdicts.csv"} if CONFIG.claims else {}),
        fidelity=f"{RESULTS}/tables/fidelity.csv",
        headline=f"{RESULTS}/tables/headline.txt",
        checks=f"{RESULTS}/tables/checks.csv",
        scores=f"{RESULTS}/tables/scores.csv",
        bits=f"{RESULTS}/tables/bits.csv",
        reach=f"{RESULTS}/tables/reach.csv",
        composition=f"{RESULTS}/tables/composition.csv",
        push_forward=f"{RESULTS}/tables/push_forward.csv",
        manifests=EXPERIMENT.manifests(),
    output:
        front=f"{RESULTS}/front.rst",
    log:
        f"{RESULTS}/logs/front_page.log",
    benchmark:
        f"{RESULTS}/benchmarks/front_page.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(
            attacks=ATTACKS,
            judge=DEFAULT_JUDGE,
            control=EXPERIMENT.control(),
            sealed=CONFIG.standin.held_out == "sealed",
        ),
        code=code("front"),
    script:
        "../workflow/scripts/front_page.py"


rule manifest:
    input:
        summary=f"{RESULTS}/summary.json",
        manifests=EXPERIMENT.manifests(),
        findings=expand(f"{RESULTS}/models/{{model}}/doctor.json", model=MODELS),
    output:
        run=report(f"{RESULTS}/manifest.json", caption="../workflow/report/manifest.rst", category="5 Provenance"),
    log:
        f"{RESULTS}/logs/manifest.log",
    benchmark:
        f"{RESULTS}/benchmarks/manifest.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(config=EXPERIMENT.recorded()),
        code=code("manifest"),
    script:
        "../workflow/scripts/manifest.py"


# What a reviewer needs to rebuild every figure: no prompt, no completion, salted ids.
rule bundle:
    input:
        tables=TABLES,
        manifest=f"{RESULTS}/manifest.json",
        completions=EXPERIMENT.completions(),
        grades=EXPERIMENT.grades(JUDGES),
        ranks=EXPERIMENT.measured_ranks(),
    output:
        bundle=f"{RESULTS}/bundle.tar.gz",
    log:
        f"{RESULTS}/logs/bundle.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(**EXPERIMENT.shown(), methods=EXPERIMENT.methods(), rap=EXPERIMENT.rap(), needs=FIGURE_NEEDS),
        code=code("bundle"),
    script:
        "../workflow/scripts/bundle.py"


# Deletes every word that a model said; tables, figures and scores stay.
rule purge:
    output:
        touch(temp(f"{RESULTS}/.purge")),
    log:
        f"{RESULTS}/logs/purge.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(),
        code=code("bundle"),
    script:
        "../workflow/scripts/purge.py"
