# Grades of completions by every judge of the config.
# Needs: attacks/, models/<model>/untouched. Makes: grades/.


rule grade:
    input:
        completions=f"{RESULTS}/attacks/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.parquet",
        prompts=f"{RESULTS}/data/prompts.parquet",
        untouched=untouched,
        lists=POLICY_LISTS,
    output:
        grades=f"{RESULTS}/grades/{{judge}}/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.parquet",
        manifest=f"{RESULTS}/grades/{{judge}}/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/grade/{{judge}}/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/grade/{{judge}}/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: 2
    resources:
        gpu=resource("gpu"),
        mem_mb=resource("mem_mb"),
        runtime=resource("runtime"),
    params:
        spec=lambda w: spec(models=model_spec(w.model, "chat", "decode_dtype"), judges=CONFIG.item("judges", w.judge)),
        code=lambda w: code("grade", CONFIG.item("judges", w.judge)),
    script:
        "../workflow/scripts/grade.py"
