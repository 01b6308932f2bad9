# Figures, the run's manifest, and Snakemake's own report of it all.
# Needs: tables/. Makes: figures/, manifest.json, report.html.


rule figure:
    input:
        unpack(lambda w: {name: f"{RESULTS}/tables/{name}.csv" for name in FIGURE_NEEDS[w.figure]}),
    output:
        pdf=RESULTS + "/figures/{figure}.pdf",
        png=report(RESULTS + "/figures/{figure}.png", caption="../workflow/report/{figure}.rst", category="2 Result"),
    log:
        RESULTS + "/logs/figure/{figure}.log",
    benchmark:
        RESULTS + "/benchmarks/figure/{figure}.tsv"
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
        summary=RESULTS + "/summary.json",
        manifests=manifests(),
    output:
        manifest=report(RESULTS + "/manifest.json", caption="../workflow/report/manifest.rst", category="5 Provenance"),
    log:
        RESULTS + "/logs/manifest.log",
    benchmark:
        RESULTS + "/benchmarks/manifest.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(config=CONFIG.model_dump(mode="json")),
        code=code("manifest"),
    script:
        "../workflow/scripts/manifest.py"
