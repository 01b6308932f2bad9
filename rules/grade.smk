# Grades of completions by every judge of the config, and what the judges need for it.
# Needs: attacks/, models/<model>/untouched. Makes: judge/<judge>/, grades/.


rule judge_template:
    input:
        lambda w: CONFIG.item("judges", w.judge).template.path or [],
    output:
        template=f"{RESULTS}/judge/{{judge}}/template.json",
    log:
        f"{RESULTS}/logs/judge_template/{{judge}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/judge_template/{{judge}}.tsv"
    conda:
        "../envs/model.yaml"
    params:
        spec=lambda w: spec(template=CONFIG.item("judges", w.judge).template),
        code=code("judge_template"),
    script:
        "../workflow/scripts/judge_template.py"


rule judge_weights:
    output:
        weights=directory(f"{RESULTS}/judge/{{judge}}/model"),
    log:
        f"{RESULTS}/logs/judge_weights/{{judge}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/judge_weights/{{judge}}.tsv"
    conda:
        "../envs/model.yaml"
    params:
        spec=lambda w: spec(judges=SPECS.judge_spec(w.judge)),
        code=code("judge_weights"),
    script:
        "../workflow/scripts/judge_weights.py"


rule grade_attack:
    input:
        unpack(lambda w: EXPERIMENT.judge_inputs(w.judge)),
        completions=f"{RESULTS}/attacks/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.parquet",
        prompts=f"{RESULTS}/data/prompts.parquet",
        untouched=EXPERIMENT.untouched,
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
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(models=SPECS.model_spec(w.model, "chat", "decode_dtype"), judges=SPECS.judge_spec(w.judge)),
        code=lambda w: code("grade", CONFIG.item("judges", w.judge)),
    script:
        "../workflow/scripts/grade.py"


# Forgets grades that are missing, and the replies that could not be read: the next run asks again, and for nothing else.
rule retry_failed:
    output:
        touch(temp(f"{RESULTS}/.retry_failed")),
    log:
        f"{RESULTS}/logs/retry_failed.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(),
        code=code("retry_failed"),
    script:
        "../workflow/scripts/retry_failed.py"
