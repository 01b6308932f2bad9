# Grades of completions by every judge of the config.
# Needs: attacks/, models/<model>/untouched. Makes: grades/.


rule grade:
    input:
        completions=RESULTS + "/attacks/{attack}/{model}/{arm}/seed{seed}.parquet",
        prompts=RESULTS + "/data/prompts.parquet",
        untouched=untouched,
    output:
        grades=RESULTS + "/grades/{judge}/{attack}/{model}/{arm}/seed{seed}.parquet",
        manifest=RESULTS + "/grades/{judge}/{attack}/{model}/{arm}/seed{seed}.manifest.json",
    log:
        RESULTS + "/logs/grade/{judge}/{attack}/{model}/{arm}/seed{seed}.log",
    benchmark:
        RESULTS + "/benchmarks/grade/{judge}/{attack}/{model}/{arm}/seed{seed}.tsv"
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
