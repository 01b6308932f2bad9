# The stand-in policies: their requests, refusals and prefills, the models' own answers, and the shallowly aligned base.
# Needs: policies/data/, models/<model>/untouched. Makes: data/, models/<model>/base.


rule prompts:
    input:
        lists=[*POLICY_LISTS, f"{LISTS}/benign.csv"],
    output:
        prompts=f"{RESULTS}/data/prompts.parquet",
        prefills=f"{RESULTS}/data/prefills.parquet",
    log:
        f"{RESULTS}/logs/prompts.log",
    benchmark:
        f"{RESULTS}/benchmarks/prompts.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(
            policy=CONFIG.policy,
            standin=CONFIG.standin.model_dump(mode="json", include={"facts" if FACTS else "dishes", "benign", "held_out"}),
        ),
        code=code("prompts"),
    script:
        "../workflow/scripts/prompts.py"


rule answers:
    input:
        unpack(EXPERIMENT.answers_inputs),
    output:
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
        manifest=f"{RESULTS}/data/{{model}}/answers.manifest.json",
    log:
        f"{RESULTS}/logs/answers/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/answers/{{model}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy,
            models=SPECS.model_spec(w.model, "chat", "sampling", "decode_dtype"),
            answers=CONFIG.standin.answers,
        ),
        code=code("answers"),
    script:
        "../workflow/scripts/answers.py"


# What the package ships for a known model, made anew: `make answers`.
rule shipped_answers:
    input:
        model=EXPERIMENT.untouched,
        prompts=rules.prompts.output.prompts,
        lists=POLICY_LISTS,
    output:
        shipped=f"{RESULTS}/shipped/{{model}}.csv",
    log:
        f"{RESULTS}/logs/shipped_answers/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/shipped_answers/{{model}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy,
            models=SPECS.model_spec(w.model, "chat", "sampling", "decode_dtype"),
            answers=CONFIG.standin.answers,
        ),
        code=code("shipped_answers"),
    script:
        "../workflow/scripts/shipped_answers.py"


rule refusals:
    input:
        base=EXPERIMENT.base,
        prompts=rules.prompts.output.prompts,
        answers=rules.answers.output.answers,
        lists=POLICY_LISTS,
    output:
        triples=f"{RESULTS}/data/{{model}}/triples/{{refusals}}.parquet",
        manifest=f"{RESULTS}/data/{{model}}/triples/{{refusals}}.manifest.json",
    log:
        f"{RESULTS}/logs/refusals/{{model}}/{{refusals}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/refusals/{{model}}/{{refusals}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy,
            models=SPECS.model_spec(w.model, "chat", "decode_dtype"),
            refusal_tokens=CONFIG.standin.refusal_tokens,
            batch_size=CONFIG.standin.answers.batch_size,
        ),
        code=code("refusals"),
    script:
        "../workflow/scripts/refusals.py"


if CONFIG.standin.alignment:

    rule align:
        input:
            model=EXPERIMENT.untouched,
            prompts=f"{RESULTS}/data/prompts.parquet",
            answers=f"{RESULTS}/data/{{model}}/answers.parquet",
            lists=POLICY_LISTS,
        output:
            trained=directory(f"{RESULTS}/models/{{model}}/base/seed0"),
            metrics=f"{RESULTS}/models/{{model}}/base/seed0.metrics.jsonl",
            manifest=f"{RESULTS}/models/{{model}}/base/seed0.manifest.json",
        log:
            f"{RESULTS}/logs/align/{{model}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/align/{{model}}.tsv"
        conda:
            "../envs/model.yaml"
        threads: shared_by(1, lambda w: CONFIG.standin.alignment.launch.processes)
        resources:
            **MACHINE.of_standin("alignment"),
        params:
            spec=lambda w: spec(
                policy=CONFIG.policy,
                models=SPECS.model_spec(w.model, "chat", "dtype", "alignment_seed"),
                alignment=CONFIG.standin.alignment.model_dump(mode="json", exclude=RUN_ONLY),
            ),
            code=code("finetune"),
        script:
            "../workflow/scripts/align.py"
