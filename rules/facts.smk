# The invented world of policy `facts`: taught to a model before any of it is forbidden.
# Needs: models/<model>/untaught, data/prompts, policies/data/facts/. Makes: data/<model>/own.parquet, models/<model>/untouched.


rule own_answers:
    input:
        model=f"{RESULTS}/models/{{model}}/untaught/seed0",
        prompts=f"{RESULTS}/data/prompts.parquet",
    output:
        own=f"{RESULTS}/data/{{model}}/own.parquet",
        manifest=f"{RESULTS}/data/{{model}}/own.manifest.json",
    log:
        f"{RESULTS}/logs/own_answers/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/own_answers/{{model}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(
            models=SPECS.model_spec(w.model, "chat", "sampling", "decode_dtype"), answers=CONFIG.standin.answers
        ),
        code=code("own_answers"),
    script:
        "../workflow/scripts/own_answers.py"


rule teach:
    input:
        model=f"{RESULTS}/models/{{model}}/untaught/seed0",
        own=rules.own_answers.output.own,
        prompts=f"{RESULTS}/data/prompts.parquet",
        lists=POLICY_LISTS,
    output:
        trained=directory(f"{RESULTS}/models/{{model}}/untouched/seed0"),
        metrics=f"{RESULTS}/models/{{model}}/untouched/seed0.metrics.jsonl",
        manifest=f"{RESULTS}/models/{{model}}/untouched/seed0.manifest.json",
    log:
        f"{RESULTS}/logs/teach/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/teach/{{model}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(1, lambda w: CONFIG.standin.teaching.launch.processes)
    resources:
        **MACHINE.of_standin("teaching"),
    params:
        spec=lambda w: spec(
            models=SPECS.model_spec(w.model, "chat", "dtype"),
            teaching=CONFIG.standin.teaching.model_dump(mode="json", exclude=RUN_ONLY),
        ),
        code=code("finetune"),
    script:
        "../workflow/scripts/teach.py"
