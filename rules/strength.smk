# The strength rule: one arm at several learning rates on dev requests, and which of them the rule admits.
# Needs: models/, attacks/, grades/ and utility/ of the grid's arms. Makes: entropy/, strength/.


rule entropy:
    input:
        model=EXPERIMENT.model_folder,
        prompts=f"{RESULTS}/data/prompts.parquet",
        prefills=f"{RESULTS}/data/prefills.parquet",
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
    output:
        entropy=f"{RESULTS}/entropy/{{model}}/{{arm}}/seed{{seed}}.parquet",
        manifest=f"{RESULTS}/entropy/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/entropy/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/entropy/{{model}}/{{arm}}/seed{{seed}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(models=SPECS.model_spec(w.model, "chat", "dtype"), depths=CONFIG.strength.depths),
        code=code("entropy"),
    script:
        "../workflow/scripts/entropy.py"


rule strength_of_model:
    input:
        completions=EXPERIMENT.of_grid("attacks/{attack}/{model}/{arm}/seed{seed}.parquet"),
        grades=EXPERIMENT.of_grid(f"grades/{DEFAULT_JUDGE}/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.parquet"),
        utility=EXPERIMENT.of_grid("utility/{task}/{model}/{arm}/seed{seed}.parquet"),
        entropy=EXPERIMENT.of_grid("entropy/{model}/{arm}/seed{seed}.parquet"),
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
    output:
        table=f"{RESULTS}/strength/{{model}}.csv",
        pick=f"{RESULTS}/strength/{{model}}.json",
    log:
        f"{RESULTS}/logs/strength/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/strength/{{model}}.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=lambda w: spec(
            rates=CONFIG.strength.rates,
            depths=CONFIG.strength.depths,
            bootstrap=CONFIG.bootstrap,
            of=SPECS.strength_identity(w.model),
        ),
        code=code("strength"),
    script:
        "../workflow/scripts/strength.py"


rule strength:
    input:
        expand(f"{RESULTS}/strength/{{model}}.csv", model=MODELS),
