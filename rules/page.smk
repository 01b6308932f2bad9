# The result as one page, and what its step view shows.
# Needs: tables/, figures/, attacks/, grades/, ranks/. Makes: steps/, tables/requests.csv, report/index.html.


# What an attacker of ranks saw at each step of a few requests.
rule steps:
    input:
        unpack(EXPERIMENT.taught_refusals),
        model=EXPERIMENT.model_folder,
        untouched=EXPERIMENT.untouched,
        completions=f"{RESULTS}/attacks/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.parquet",
        prompts=f"{RESULTS}/data/prompts.parquet",
        prefills=f"{RESULTS}/data/prefills.parquet",
        lists=POLICY_LISTS,
    output:
        steps=f"{RESULTS}/steps/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.parquet",
    log:
        f"{RESULTS}/logs/steps/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/steps/{{attack}}/{{model}}/{{arm}}/seed{{seed}}.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(),
    params:
        spec=lambda w: spec(
            policy=CONFIG.policy,
            models=SPECS.model_spec(w.model, "chat", "decode_dtype"),
            variant=EXPERIMENT.stepped_variant(w.attack),
            requests=CONFIG.page.steps,
            **SPECS.openers_spec(),
        ),
        code=code("steps"),
    script:
        "../workflow/scripts/steps.py"


rule page:
    input:
        tables=EXPERIMENT.page_tables(),
        figures=EXPERIMENT.page_figures(),
        headline=f"{RESULTS}/tables/headline.txt",
        run=f"{RESULTS}/manifest.json",
        completions=EXPERIMENT.completions(),
        grades=EXPERIMENT.grades([DEFAULT_JUDGE]),
        ranks=EXPERIMENT.measured_ranks(),
        steps=EXPERIMENT.stepped(),
        prompts=f"{RESULTS}/data/prompts.parquet",
    output:
        page=f"{RESULTS}/report/index.html",
        requests=f"{RESULTS}/tables/requests.csv",
    log:
        f"{RESULTS}/logs/page.log",
    benchmark:
        f"{RESULTS}/benchmarks/page.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(
            **EXPERIMENT.shown(),
            experiment=CONFIG.experiment,
            rap=EXPERIMENT.rap(),
            prefilling=EXPERIMENT.first_of_kind("prefilling"),
            kinds=EXPERIMENT.kinds(),
            best_of=EXPERIMENT.best_of_attacks(),
            show=STANDIN or CONFIG.show_completions,
        ),
        code=code("page"),
    script:
        "../workflow/scripts/page.py"
