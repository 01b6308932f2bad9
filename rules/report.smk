# Figures, the run's manifest, and Snakemake's own report of it all.
# Needs: tables/. Makes: figures/, manifest.json, report.html.


rule figure:
    input:
        unpack(lambda w: {name: f"{RESULTS}/tables/{name}.csv" for name in FIGURE_NEEDS[w.figure]}),
    output:
        pdf=f"{RESULTS}/figures/{{figure}}.pdf",
        png=report(f"{RESULTS}/figures/{{figure}}.png", caption="../workflow/report/figure.rst", category="2 Result"),
    log:
        f"{RESULTS}/logs/figure/{{figure}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/figure/{{figure}}.tsv"
    wildcard_constraints:
        figure=one_of(FIGURE_NEEDS),
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(**shown(), rap=rap()),
        code=lambda w: fingerprint.code_hash(["presto_bench.stages.figure", f"presto_bench.figures.{w.figure}"]),
    script:
        "../workflow/scripts/figure.py"


rule manifest:
    input:
        summary=f"{RESULTS}/summary.json",
        manifests=manifests(),
    output:
        run=report(f"{RESULTS}/manifest.json", caption="../workflow/report/manifest.rst", category="5 Provenance"),
    log:
        f"{RESULTS}/logs/manifest.log",
    benchmark:
        f"{RESULTS}/benchmarks/manifest.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(config=CONFIG.model_dump(mode="json")),
        code=code("manifest"),
    script:
        "../workflow/scripts/manifest.py"
