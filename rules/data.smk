# Requests, refusals and prefills of the policy, and the models' own answers to them.
# Needs: standin/data/*.csv, models/<model>/{untouched,base}. Makes: data/.


rule prompts:
    input:
        lists=expand(LISTS + "/{name}.csv", name=["dishes", "benign", "requests", "prefills"]),
    output:
        prompts=RESULTS + "/data/prompts.parquet",
        prefills=RESULTS + "/data/prefills.parquet",
    log:
        RESULTS + "/logs/prompts.log",
    benchmark:
        RESULTS + "/benchmarks/prompts.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(standin=CONFIG.standin.model_dump(mode="json", include={"dishes", "benign"})),
        code=code("prompts"),
    script:
        "../workflow/scripts/prompts.py"


rule answers:
    input:
        model=untouched,
        prompts=rules.prompts.output.prompts,
    output:
        answers=RESULTS + "/data/{model}/answers.parquet",
        manifest=RESULTS + "/data/{model}/answers.manifest.json",
    log:
        RESULTS + "/logs/answers/{model}.log",
    benchmark:
        RESULTS + "/benchmarks/answers/{model}.tsv"
    conda:
        "../envs/model.yaml"
    threads: 2
    resources:
        gpu=resource("gpu"),
        mem_mb=resource("mem_mb"),
        runtime=resource("runtime"),
    params:
        spec=lambda w: spec(models=model_spec(w.model, "chat", "sampling", "decode_dtype"), answers=CONFIG.standin.answers),
        code=code("answers"),
    script:
        "../workflow/scripts/answers.py"


rule refusals:
    input:
        base=base,
        prompts=rules.prompts.output.prompts,
        answers=rules.answers.output.answers,
    output:
        triples=RESULTS + "/data/{model}/triples/{refusals}.parquet",
        manifest=RESULTS + "/data/{model}/triples/{refusals}.manifest.json",
    log:
        RESULTS + "/logs/refusals/{model}/{refusals}.log",
    benchmark:
        RESULTS + "/benchmarks/refusals/{model}/{refusals}.tsv"
    conda:
        "../envs/model.yaml"
    threads: 2
    resources:
        gpu=resource("gpu"),
        mem_mb=resource("mem_mb"),
        runtime=resource("runtime"),
    params:
        spec=lambda w: spec(
            models=model_spec(w.model, "chat", "decode_dtype"),
            refusal_tokens=CONFIG.standin.refusal_tokens,
            batch_size=CONFIG.standin.answers.batch_size,
        ),
        code=code("refusals"),
    script:
        "../workflow/scripts/refusals.py"
