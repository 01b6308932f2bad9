# Attacks on the arms, and what the arms' distributions look like from inside.
# Needs: models/<model>/<arm>/seed<n>, data/. Makes: helpers/, composition/, candidates/, attacks/, ranks/, first_tokens/, attention/, causal/, utility/.


rule attack_arm:
    input:
        unpack(attack_inputs),
    output:
        completions=f"{RESULTS}/attacks/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.parquet",
        manifest=f"{RESULTS}/attacks/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/attack/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/attack/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.tsv"
    wildcard_constraints:
        attack=one_of(attacks_in_one_piece()),
    conda:
        "../envs/model.yaml"
    threads: 2
    resources:
        **of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy, models=model_spec(w.model, "chat", "sampling", "decode_dtype"), attacks=attack_spec(w.attack)
        ),
        code=lambda w: code("attack", CONFIG.item("attacks", w.attack)),
    script:
        "../workflow/scripts/attack.py"


use rule attack_arm as attack_shard with:
    output:
        completions=f"{RESULTS}/attacks/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.shards/{{shard}}of{{shards}}.parquet",
        manifest=f"{RESULTS}/attacks/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.shards/{{shard}}of{{shards}}.manifest.json",
    log:
        f"{RESULTS}/logs/attack/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.{{shard}}of{{shards}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/attack/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.{{shard}}of{{shards}}.tsv"
    wildcard_constraints:
        attack=one_of(sharded_attacks()),


rule merge_shards:
    input:
        shards=shards_of,
        manifests=lambda w: [path.replace(".parquet", ".manifest.json") for path in shards_of(w)],
        prompts=f"{RESULTS}/data/prompts.parquet",
        prefills=f"{RESULTS}/data/prefills.parquet",
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
        lists=POLICY_LISTS,
    output:
        completions=f"{RESULTS}/attacks/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.parquet",
        manifest=f"{RESULTS}/attacks/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/attack/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/attack/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.tsv"
    wildcard_constraints:
        attack=one_of(sharded_attacks()),
    conda:
        "../envs/model.yaml"
    params:
        spec=lambda w: spec(policy=CONFIG.policy, models=model_spec(w.model, "chat"), attacks=attack_spec(w.attack)),
        code=lambda w: code("merge", CONFIG.item("attacks", w.attack)),
    script:
        "../workflow/scripts/merge_shards.py"


rule helper:
    input:
        target=lambda w: f"{RESULTS}/models/{w.model}/{w.arm}/seed{w.seed}",
        untouched=untouched,
        prompts=f"{RESULTS}/data/prompts.parquet",
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
        lists=POLICY_LISTS,
    output:
        helper=kept(directory(f"{RESULTS}/helpers/{{model}}/{{arm}}/seed{{seed}}")),
        validation=f"{RESULTS}/helpers/{{model}}/{{arm}}/seed{{seed}}.validation.csv",
        calibration=f"{RESULTS}/helpers/{{model}}/{{arm}}/seed{{seed}}.calibration.csv",
        manifest=f"{RESULTS}/helpers/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/helper/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/helper/{{model}}/{{arm}}/seed{{seed}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: 2
    resources:
        **of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy, models=model_spec(w.model, "chat", "dtype", "decode_dtype"), helper=CONFIG.helper
        ),
        code=code("helper"),
    script:
        "../workflow/scripts/helper.py"


rule composition:
    input:
        model=model_folder,
        untouched=untouched,
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
    threads: 2
    resources:
        **of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy,
            models=model_spec(w.model, "chat", "decode_dtype"),
            composition=CONFIG.composition or typed.CompositionConfig(),
        ),
        code=code("composition"),
    script:
        "../workflow/scripts/composition.py"


rule candidates:
    input:
        model=model_folder,
        helper=lambda w: helper_folder(w, CONFIG.item("attacks", w.attack).helper),
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
        attack=one_of(helped()),
    conda:
        "../envs/model.yaml"
    threads: 2
    resources:
        **of_model(),
    params:
        spec=lambda w: spec(policy=CONFIG.policy, models=model_spec(w.model, "chat", "decode_dtype")),
        code=code("candidates"),
    script:
        "../workflow/scripts/candidates.py"


rule ranks:
    input:
        unpack(lambda w: {} if STANDIN else {"triples": f"{RESULTS}/data/{w.model}/triples/given.parquet"}),
        model=model_folder,
        prompts=f"{RESULTS}/data/prompts.parquet",
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
        lists=POLICY_LISTS,
    output:
        ranks=f"{RESULTS}/ranks/{{model}}/{{arm}}/seed{{seed}}.parquet",
        first_tokens=f"{RESULTS}/first_tokens/{{model}}/{{arm}}/seed{{seed}}.parquet",
        attention=f"{RESULTS}/attention/{{model}}/{{arm}}/seed{{seed}}.parquet",
        manifest=f"{RESULTS}/ranks/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/ranks/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/ranks/{{model}}/{{arm}}/seed{{seed}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: 2
    resources:
        **of_model(),
    params:
        spec=lambda w: spec(policy=CONFIG.policy, models=model_spec(w.model, "chat", "dtype")),
        code=code("ranks"),
    script:
        "../workflow/scripts/ranks.py"


rule causal:
    input:
        unpack(donor),
        model=model_folder,
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
    threads: 2
    resources:
        **of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy,
            models=model_spec(w.model, "chat", "dtype"),
            causal=CONFIG.causal.model_dump(mode="json", exclude={"seeds"}),
        ),
        code=code("causal"),
    script:
        "../workflow/scripts/causal.py"


rule utility:
    input:
        sources=lambda w: [source_file(name) for name in CONFIG.item("tasks", w.task).sources],
        model=model_folder,
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
    threads: 2
    resources:
        **of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy, models=model_spec(w.model, "chat", task_dtype(w.task)), tasks=task_spec(w.task)
        ),
        code=lambda w: code("utility", CONFIG.item("tasks", w.task)),
    script:
        "../workflow/scripts/utility.py"
