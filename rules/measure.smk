# What the arms' distributions look like from inside, and what they are still good for.
# Needs: models/<model>/<arm>/seed<n>, data/, helpers/. Makes: composition/, candidates/, ranks/, first_tokens/, attention/, attention_received/, top_lists/, causal/, utility/.


rule composition:
    input:
        model=EXPERIMENT.model_folder,
        untouched=EXPERIMENT.untouched,
        prompts=f"{RESULTS}/data/prompts.parquet",
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
        lists=POLICY_LISTS,
    output:
        composition=f"{RESULTS}/composition/{{model}}/{{arm}}/seed{{seed}}.parquet",
        manifest=f"{RESULTS}/composition/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/composition/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/composition/{{model}}/{{arm}}/seed{{seed}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy,
            models=SPECS.model_spec(w.model, "chat", "decode_dtype"),
            composition=CONFIG.composition or typed.CompositionConfig(),
        ),
        code=code("composition"),
    script:
        "../workflow/scripts/composition.py"


rule candidates:
    input:
        model=EXPERIMENT.model_folder,
        helper=lambda w: EXPERIMENT.helper_folder(w, CONFIG.item("attacks", w.attack).helper),
        composition=f"{RESULTS}/composition/{{model}}/{{arm}}/seed{{seed}}.parquet",
        prompts=f"{RESULTS}/data/prompts.parquet",
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
        lists=POLICY_LISTS,
    output:
        candidates=f"{RESULTS}/candidates/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.parquet",
        manifest=f"{RESULTS}/candidates/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/candidates/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/candidates/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.tsv"
    wildcard_constraints:
        attack=one_of(EXPERIMENT.helped()),
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(policy=CONFIG.policy, models=SPECS.model_spec(w.model, "chat", "decode_dtype")),
        code=code("candidates"),
    script:
        "../workflow/scripts/candidates.py"


rule ranks:
    input:
        unpack(EXPERIMENT.taught_refusals),
        model=EXPERIMENT.model_folder,
        base=EXPERIMENT.base,
        prompts=f"{RESULTS}/data/prompts.parquet",
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
        lists=POLICY_LISTS,
    output:
        ranks=f"{RESULTS}/ranks/{{model}}/{{arm}}/seed{{seed}}.parquet",
        first_tokens=f"{RESULTS}/first_tokens/{{model}}/{{arm}}/seed{{seed}}.parquet",
        attention=f"{RESULTS}/attention/{{model}}/{{arm}}/seed{{seed}}.parquet",
        received=f"{RESULTS}/attention_received/{{model}}/{{arm}}/seed{{seed}}.parquet",
        manifest=f"{RESULTS}/ranks/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/ranks/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/ranks/{{model}}/{{arm}}/seed{{seed}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy,
            models=SPECS.model_spec(w.model, "chat", "dtype"),
            **SPECS.openers_spec(),
        ),
        code=code("ranks"),
    script:
        "../workflow/scripts/ranks.py"


# What an attacker of ranks sees at each step, for one request.
rule top_lists:
    input:
        unpack(EXPERIMENT.taught_refusals),
        model=EXPERIMENT.model_folder,
        untouched=EXPERIMENT.untouched,
        prompts=f"{RESULTS}/data/prompts.parquet",
        prefills=f"{RESULTS}/data/prefills.parquet",
        lists=POLICY_LISTS,
    output:
        shown=f"{RESULTS}/top_lists/{{model}}/{{arm}}/seed{{seed}}.parquet",
        manifest=f"{RESULTS}/top_lists/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/top_lists/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/top_lists/{{model}}/{{arm}}/seed{{seed}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy,
            models=SPECS.model_spec(w.model, "chat", "decode_dtype"),
            request=CONFIG.shown_request,
            **SPECS.openers_spec(),
        ),
        code=code("top_lists"),
    script:
        "../workflow/scripts/top_lists.py"


rule top_lists_table:
    input:
        lists=EXPERIMENT.listed(),
    output:
        table=f"{RESULTS}/tables/top_lists.csv",
    log:
        f"{RESULTS}/logs/top_lists_table.log",
    benchmark:
        f"{RESULTS}/benchmarks/top_lists_table.tsv"
    conda:
        "../envs/model.yaml"
    params:
        spec=spec(show=STANDIN or CONFIG.show_completions),
        code=code("top_lists"),
    script:
        "../workflow/scripts/top_lists_table.py"


rule causal:
    input:
        unpack(EXPERIMENT.donor),
        model=EXPERIMENT.model_folder,
        prompts=f"{RESULTS}/data/prompts.parquet",
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
        lists=POLICY_LISTS,
    output:
        causal=f"{RESULTS}/causal/{{model}}/{{arm}}/seed{{seed}}.parquet",
        manifest=f"{RESULTS}/causal/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/causal/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/causal/{{model}}/{{arm}}/seed{{seed}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy,
            models=SPECS.model_spec(w.model, "chat", "dtype"),
            causal=CONFIG.causal.model_dump(mode="json", exclude={"seeds"}),
        ),
        code=code("causal"),
    script:
        "../workflow/scripts/causal.py"


rule utility:
    input:
        sources=lambda w: [EXPERIMENT.source_file(name) for name in CONFIG.item("tasks", w.task).sources],
        model=EXPERIMENT.model_folder,
        prompts=f"{RESULTS}/data/prompts.parquet",
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
    output:
        utility=f"{RESULTS}/utility/{{task}}/{{model}}/{{arm}}/seed{{seed}}.parquet",
        manifest=f"{RESULTS}/utility/{{task}}/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/utility/{{task}}/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/utility/{{task}}/{{model}}/{{arm}}/seed{{seed}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy,
            models=SPECS.model_spec(w.model, *SPECS.task_sections(w.task)),
            tasks=SPECS.task_spec(w.task),
        ),
        code=lambda w: code("utility", CONFIG.item("tasks", w.task)),
    script:
        "../workflow/scripts/utility.py"
