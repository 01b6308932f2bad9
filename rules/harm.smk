# Policy `harm`: real requests out of public data sets, and models that others have aligned. Stands where data.smk and `align` stand for the stand-in.
# Needs: sources/, models/<model>/untouched. Makes: data/, models/<model>/base.


rule harm_prompts:
    input:
        unpack(lambda w: {"helper": EXPERIMENT.source_file(CONFIG.harm.helper)} if EXPERIMENT.helped() else {}),
        unpack(lambda w: {"examples": EXPERIMENT.source_file(CONFIG.harm.examples)} if CONFIG.harm.examples else {}),
        unpack(lambda w: EXPERIMENT.prefills_input()),
        test=EXPERIMENT.source_file(CONFIG.harm.test),
        benign_prompts=EXPERIMENT.source_file(CONFIG.harm.benign_prompts),
        safety=EXPERIMENT.sources_of("triples"),
        anchors=EXPERIMENT.sources_of("anchors"),
    output:
        prompts=f"{RESULTS}/data/prompts.parquet",
        prefills=f"{RESULTS}/data/prefills.parquet",
        pairs=f"{RESULTS}/data/pairs.parquet",
        exemplars=f"{RESULTS}/data/exemplars.csv",
    log:
        f"{RESULTS}/logs/prompts.log",
    benchmark:
        f"{RESULTS}/benchmarks/prompts.tsv"
    conda:
        "../envs/model.yaml"
    params:
        spec=spec(
            harm=CONFIG.harm.model_dump(
                mode="json",
                exclude={"harmful_model", "max_new_tokens", "batch_size", "engine", "triples", "written_prefills", "answers"},
            )
        ),
        code=code("harm_prompts"),
    script:
        "../workflow/scripts/harm_prompts.py"


if CONFIG.harm.written_prefills:

    rule prefill_model:
        output:
            model=directory(f"{RESULTS}/data/prefill_model"),
            manifest=f"{RESULTS}/data/prefill_model.manifest.json",
        log:
            f"{RESULTS}/logs/prefill_model.log",
        benchmark:
            f"{RESULTS}/benchmarks/prefill_model.tsv"
        conda:
            "../envs/model.yaml"
        params:
            spec=spec(models=EXPERIMENT.prefill_model()),
            code=code("written_prefills"),
        script:
            "../workflow/scripts/prefill_model.py"

    rule written_prefills:
        input:
            model=rules.prefill_model.output.model,
            test=EXPERIMENT.source_file(CONFIG.harm.test),
            examples=EXPERIMENT.source_file(CONFIG.harm.examples),
        output:
            prefills=f"{RESULTS}/data/written_prefills.csv",
            checks=f"{RESULTS}/data/written_prefills.checks.csv",
            manifest=f"{RESULTS}/data/written_prefills.manifest.json",
        log:
            f"{RESULTS}/logs/written_prefills.log",
        benchmark:
            f"{RESULTS}/benchmarks/written_prefills.tsv"
        conda:
            "../envs/model.yaml"
        threads: shared_by(2)
        resources:
            **MACHINE.of_model(FIRST_MODEL),
        params:
            spec=spec(
                models=EXPERIMENT.prefill_model(),
                requests=CONFIG.harm.requests,
                written_prefills=CONFIG.harm.written_prefills,
            ),
            code=code("written_prefills"),
        script:
            "../workflow/scripts/written_prefills.py"


rule harm_answers:
    input:
        unpack(EXPERIMENT.harm_answers_inputs),
        model=EXPERIMENT.untouched,
        prompts=f"{RESULTS}/data/prompts.parquet",
        prefills=f"{RESULTS}/data/prefills.parquet",
        pairs=f"{RESULTS}/data/pairs.parquet",
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
            models=SPECS.model_spec(w.model, "chat", "sampling", "decode_dtype"),
            anchors=EXPERIMENT.anchors_of(w),
            limit=CONFIG.harm.anchors,
            ended=CONFIG.harm.ended,
            **EXPERIMENT.writing(w),
        ),
        code=code("harm"),
    script:
        "../workflow/scripts/harm_answers.py"


if not EXPERIMENT.writing_arm():

    rule harmful_model:
        output:
            model=directory(f"{RESULTS}/data/harmful_model"),
            manifest=f"{RESULTS}/data/harmful_model.manifest.json",
        log:
            f"{RESULTS}/logs/harmful_model.log",
        benchmark:
            f"{RESULTS}/benchmarks/harmful_model.tsv"
        conda:
            "../envs/model.yaml"
        params:
            spec=spec(models=EXPERIMENT.harmful_model()),
            code=code("fetch"),
        script:
            "../workflow/scripts/fetch_model.py"


if CONFIG.harm.entropies:

    rule source_entropy:
        input:
            model=EXPERIMENT.model_folder,
            source=EXPERIMENT.source_file(CONFIG.harm.entropies),
        output:
            entropy=f"{RESULTS}/source_entropy/{{model}}/{{arm}}/seed{{seed}}.parquet",
            manifest=f"{RESULTS}/source_entropy/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
        log:
            f"{RESULTS}/logs/source_entropy/{{model}}/{{arm}}/seed{{seed}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/source_entropy/{{model}}/{{arm}}/seed{{seed}}.tsv"
        conda:
            "../envs/model.yaml"
        threads: shared_by(2)
        resources:
            **MACHINE.of_model(),
        params:
            spec=lambda w: spec(models=SPECS.model_spec(w.model, "chat", "dtype")),
            code=code("entropy"),
        script:
            "../workflow/scripts/source_entropy.py"


rule harmful_answers:
    input:
        model=f"{RESULTS}/data/harmful_model",
        safety=EXPERIMENT.source_file(CONFIG.harm.safety_prompts),
    output:
        harmful=f"{RESULTS}/data/harmful_answers.parquet",
        manifest=f"{RESULTS}/data/harmful_answers.manifest.json",
    log:
        f"{RESULTS}/logs/harmful_answers.log",
    benchmark:
        f"{RESULTS}/benchmarks/harmful_answers.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(FIRST_MODEL),
    params:
        spec=spec(models=EXPERIMENT.harmful_model(), **EXPERIMENT.writing()),
        code=code("harm"),
    script:
        "../workflow/scripts/harmful_answers.py"


if EXPERIMENT.writing_arm():

    # Each model's own arm writes them.
    use rule harmful_answers as harmful_answers_of_arm with:
        input:
            model=lambda w: f"{RESULTS}/models/{w.model}/{EXPERIMENT.writing_arm()}/seed0",
            safety=EXPERIMENT.source_file(CONFIG.harm.safety_prompts),
        output:
            harmful=f"{RESULTS}/data/{{model}}/harmful_answers.parquet",
            manifest=f"{RESULTS}/data/{{model}}/harmful_answers.manifest.json",
        log:
            f"{RESULTS}/logs/harmful_answers/{{model}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/harmful_answers/{{model}}.tsv"
        resources:
            **MACHINE.of_model(),
        params:
            spec=lambda w: spec(models=SPECS.model_spec(w.model, "chat", "sampling", "decode_dtype"), **EXPERIMENT.writing(w)),
            code=code("harm"),


rule given_triples:
    input:
        unpack(EXPERIMENT.triples_inputs),
        prompts=f"{RESULTS}/data/prompts.parquet",
    output:
        triples=f"{RESULTS}/data/{{model}}/triples/given.parquet",
        checks=f"{RESULTS}/data/{{model}}/triples/given.checks.csv",
        manifest=f"{RESULTS}/data/{{model}}/triples/given.manifest.json",
    log:
        f"{RESULTS}/logs/given_triples/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/given_triples/{{model}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(
            models=SPECS.model_spec(w.model, "chat", "sampling", "decode_dtype"),
            limit=CONFIG.harm.triples,
            **EXPERIMENT.writing(w),
        ),
        code=code("harm"),
    script:
        "../workflow/scripts/given_triples.py"


rule own_refusals:
    input:
        model=EXPERIMENT.untouched,
        prompts=f"{RESULTS}/data/prompts.parquet",
        given=rules.given_triples.output.triples,
    output:
        triples=f"{RESULTS}/data/{{model}}/triples/{{refusals}}.parquet",
        manifest=f"{RESULTS}/data/{{model}}/triples/{{refusals}}.manifest.json",
    log:
        f"{RESULTS}/logs/refusals/{{model}}/{{refusals}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/refusals/{{model}}/{{refusals}}.tsv"
    wildcard_constraints:
        refusals="greedy|sampled",
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(models=SPECS.model_spec(w.model, "chat", "sampling", "decode_dtype"), **EXPERIMENT.writing(w)),
        code=code("harm"),
    script:
        "../workflow/scripts/own_refusals.py"
