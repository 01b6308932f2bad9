# The curve - depth against damage by family of arms.
# Needs: attacks/, grades/, ranks/ and utility/ of the families' arms and of base. Makes: update_norm/, tables/curve, tables/curve_gaps.


rule update_norm:
    input:
        model=EXPERIMENT.model_folder,
        base=EXPERIMENT.base,
    output:
        update_norm=f"{RESULTS}/update_norm/{{model}}/{{arm}}/seed{{seed}}.parquet",
    log:
        f"{RESULTS}/logs/update_norm/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/update_norm/{{model}}/{{arm}}/seed{{seed}}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        **MACHINE.of_model(only=("mem_mb", "runtime")),
    params:
        spec=spec(),
        code=code("update_norm"),
    script:
        "../workflow/scripts/update_norm.py"


rule curve:
    input:
        completions=EXPERIMENT.on_the_curve("attacks/{attack}/{model}/{arm}/seed{seed}.parquet"),
        grades=EXPERIMENT.on_the_curve("grades/{judge}/{attack}/{model}/{arm}/seed{seed}.parquet"),
        ranks=EXPERIMENT.on_the_curve("ranks/{model}/{arm}/seed{seed}.parquet"),
        utility=EXPERIMENT.on_the_curve("utility/{task}/{model}/{arm}/seed{seed}.parquet"),
        update_norm=EXPERIMENT.updated(),
    output:
        curve=report(f"{RESULTS}/tables/curve.csv", caption="../workflow/report/curve.rst", category="2 Result"),
        gaps=report(f"{RESULTS}/tables/curve_gaps.csv", caption="../workflow/report/curve_gaps.rst", category="2 Result"),
    log:
        f"{RESULTS}/logs/curve.log",
    benchmark:
        f"{RESULTS}/benchmarks/curve.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(**EXPERIMENT.curve_spec(), models=sorted(MODELS), bootstrap=CONFIG.bootstrap),
        code=code("curve"),
    script:
        "../workflow/scripts/curve.py"
