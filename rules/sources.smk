# Public data sets, each checked by hash, rows and columns.
# Needs: the network, or files named in source_overrides. Makes: sources/.


rule source:
    input:
        lambda w: [path for path in [CONFIG.source_overrides.get(w.source)] if path and not path.startswith("http")],
    output:
        file=f"{RESULTS}/sources/{{source}}.{{ending}}",
        found=f"{RESULTS}/sources/{{source}}.{{ending}}.json",
    log:
        f"{RESULTS}/logs/source/{{source}}.{{ending}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/source/{{source}}.{{ending}}.tsv"
    wildcard_constraints:
        source=one_of(source_names.used(CONFIG)),
        ending="csv|jsonl|json|parquet",
    conda:
        "../envs/model.yaml"
    params:
        spec=lambda w: spec(
            name=w.source, override=CONFIG.source_overrides.get(w.source), entry=asdict(sources.SOURCES[w.source])
        ),
        code=code("source"),
    script:
        "../workflow/scripts/source.py"
