# Attacks on the arms, and AutoRAP's helper.
# Needs: models/<model>/<arm>/seed<n>, data/. Makes: attacks/, helpers/.


rule attack_arm:
    input:
        unpack(EXPERIMENT.attack_inputs),
    output:
        completions=f"{RESULTS}/attacks/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.parquet",
        manifest=f"{RESULTS}/attacks/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/attack/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/attack/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.tsv"
    wildcard_constraints:
        attack=one_of(EXPERIMENT.attacks_in_one_piece()),
    priority: 10  # the longest chains of a run begin with it
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy,
            models=SPECS.model_spec(w.model, "chat", "sampling", "decode_dtype"),
            attacks=SPECS.attack_spec(w.attack),
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
        attack=one_of(EXPERIMENT.sharded_attacks()),


rule merge_shards:
    input:
        shards=EXPERIMENT.shards_of,
        manifests=lambda w: [path.replace(".parquet", ".manifest.json") for path in EXPERIMENT.shards_of(w)],
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
        attack=one_of(EXPERIMENT.sharded_attacks()),
    conda:
        "../envs/model.yaml"
    params:
        spec=lambda w: spec(policy=CONFIG.policy, models=SPECS.model_spec(w.model, "chat"), attacks=SPECS.attack_spec(w.attack)),
        code=lambda w: code("merge", CONFIG.item("attacks", w.attack)),
    script:
        "../workflow/scripts/merge_shards.py"


if CONFIG.helper.model:

    rule helper_model:
        input:
            EXPERIMENT.local_files(CONFIG.helper.model["path"]) if CONFIG.helper.model["kind"] == "local" else [],
        output:
            model=directory(EXPERIMENT.helper_parent(None)),
            manifest=f"{EXPERIMENT.helper_parent(None)}.manifest.json",
        log:
            f"{RESULTS}/logs/helper_model.log",
        benchmark:
            f"{RESULTS}/benchmarks/helper_model.tsv"
        conda:
            "../envs/model.yaml"
        params:
            spec=spec(models=EXPERIMENT.helper_model()),
            code=code("fetch"),
        script:
            "../workflow/scripts/fetch_model.py"


rule helper:
    input:
        target=lambda w: f"{RESULTS}/models/{w.model}/{w.arm}/seed{w.seed}",
        untouched=EXPERIMENT.untouched,
        parent=EXPERIMENT.helper_parent,
        prompts=f"{RESULTS}/data/prompts.parquet",
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
        lists=POLICY_LISTS,
    output:
        helper=kept(directory(f"{RESULTS}/helpers/{{model}}/{{arm}}/seed{{seed}}")),
        validation=f"{RESULTS}/helpers/{{model}}/{{arm}}/seed{{seed}}.validation.csv",
        calibration=f"{RESULTS}/helpers/{{model}}/{{arm}}/seed{{seed}}.calibration.csv",
        curves=f"{RESULTS}/helpers/{{model}}/{{arm}}/seed{{seed}}.curves.csv",
        refusal_tokens=f"{RESULTS}/helpers/{{model}}/{{arm}}/seed{{seed}}.refusal_tokens.csv",
        refusals=f"{RESULTS}/helpers/{{model}}/{{arm}}/seed{{seed}}.refusals.parquet",
        manifest=f"{RESULTS}/helpers/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/helper/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/helper/{{model}}/{{arm}}/seed{{seed}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy, models=SPECS.model_spec(w.model, "chat", "dtype", "decode_dtype"), helper=CONFIG.helper
        ),
        code=code("helper"),
    script:
        "../workflow/scripts/helper.py"


# What targets say behind candidate first tokens - made by name alone, since it holds what models say.
rule helper_refusals:
    input:
        refusals=[f"{helper}.refusals.parquet" for helper in EXPERIMENT.helpers()],
    output:
        table=f"{RESULTS}/tables/helper_refusals.csv",
    log:
        f"{RESULTS}/logs/helper_refusals.log",
    benchmark:
        f"{RESULTS}/benchmarks/helper_refusals.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(show=STANDIN or CONFIG.show_completions),
        code=code("helper_refusals"),
    script:
        "../workflow/scripts/helper_refusals.py"
