# Every number of the report.
# Needs: attacks/, grades/, ranks/, first_tokens/, attention/, causal/, utility/. Makes: tables/, summary.json, judge/.


rule verdicts:
    input:
        claims=shipped(CONFIG.claims) if CONFIG.claims else [],
        completions=EXPERIMENT.completions(),
        grades=EXPERIMENT.grades([DEFAULT_JUDGE]),
        ranks=EXPERIMENT.measured_ranks(),
        utility=EXPERIMENT.utilities(),
        checks=f"{RESULTS}/tables/checks.csv",
        manifests=EXPERIMENT.attack_manifests(),
    output:
        verdicts=f"{RESULTS}/verdicts.json",
        table=report(f"{RESULTS}/tables/verdicts.csv", caption="../workflow/report/verdicts.rst", category="0 Verdicts"),
    log:
        f"{RESULTS}/logs/verdicts.log",
    benchmark:
        f"{RESULTS}/benchmarks/verdicts.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(
            models=sorted(MODELS),
            bootstrap=CONFIG.bootstrap,
            best_of=EXPERIMENT.best_of_attacks(),
            tasks=EXPERIMENT.judged_tasks(),
            pools=[pool.model_dump() for pool in CONFIG.pools],
        ),
        code=code("verdicts"),
    script:
        "../workflow/scripts/verdicts.py"


rule prefill_alone:
    input:
        **EXPERIMENT.judge_inputs(DEFAULT_JUDGE),
        prompts=f"{RESULTS}/data/prompts.parquet",
        prefills=f"{RESULTS}/data/prefills.parquet",
        untouched=f"{RESULTS}/models/{FIRST_MODEL}/untouched/seed0",
        lists=POLICY_LISTS,
    output:
        prefill_alone=f"{RESULTS}/judge/prefill_alone.csv",
    log:
        f"{RESULTS}/logs/prefill_alone.log",
    benchmark:
        f"{RESULTS}/benchmarks/prefill_alone.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(FIRST_MODEL, only=("mem_mb",)),
    params:
        spec=spec(models=SPECS.model_spec(FIRST_MODEL, "chat", "decode_dtype"), judges=SPECS.judge_spec(DEFAULT_JUDGE)),
        code=code("judge_check", CONFIG.item("judges", DEFAULT_JUDGE)),
    script:
        "../workflow/scripts/prefill_alone.py"


rule judge_agreement:
    input:
        labels=f"{LISTS}/labels.csv",
        labels_by_arm=f"{LISTS}/labels_by_arm.csv" if CONFIG.standin.arm_labels else [],
        untouched=f"{RESULTS}/models/{FIRST_MODEL}/untouched/seed0",
        lists=POLICY_LISTS,
    output:
        agreement=report(
            f"{RESULTS}/tables/judge_agreement.csv", caption="../workflow/report/judge_agreement.rst", category="1 Checks"
        ),
        by_arm=f"{RESULTS}/judge/agreement_by_arm.csv",
        grades=f"{RESULTS}/judge/label_grades.csv",
    log:
        f"{RESULTS}/logs/judge_agreement.log",
    benchmark:
        f"{RESULTS}/benchmarks/judge_agreement.tsv"
    conda:
        "../envs/model.yaml"
    threads: shared_by(2)
    resources:
        **MACHINE.of_model(FIRST_MODEL, only=("mem_mb",)),
    params:
        spec=lambda w: spec(
            models=SPECS.model_spec(FIRST_MODEL, "chat", "decode_dtype"), judges=SPECS.judge_spec(LABELLED_JUDGE)
        ),
        code=lambda w: code("judge_check", CONFIG.item("judges", LABELLED_JUDGE)),
    script:
        "../workflow/scripts/judge_agreement.py"


rule tables:
    input:
        prompts=f"{RESULTS}/data/prompts.parquet",
        answers=expand(f"{RESULTS}/data/{{model}}/answers.parquet", model=MODELS),
        triples=EXPERIMENT.triples(),
        augmented=EXPERIMENT.trained("{results}/augmented/{model}/{arm}/seed{seed}.parquet"),
        validations=[f"{helper}.validation.csv" for helper in EXPERIMENT.helpers()],
        curves=[f"{helper}.curves.csv" for helper in EXPERIMENT.helpers()],
        refusal_tokens=[f"{helper}.refusal_tokens.csv" for helper in EXPERIMENT.helpers()],
        composition=EXPERIMENT.composition(),
        candidates=EXPERIMENT.candidates(),
        metrics=EXPERIMENT.trained("{results}/models/{model}/{arm}/seed{seed}.metrics.jsonl"),
        jailbroken=EXPERIMENT.jailbroken(),
        entropy=EXPERIMENT.source_entropies(),
        completions=EXPERIMENT.completions(),
        grades=EXPERIMENT.grades(JUDGES),
        ranks=EXPERIMENT.measured_ranks(),
        first_tokens=EXPERIMENT.per_run("{results}/first_tokens/{model}/{arm}/seed{seed}.parquet"),
        attention=EXPERIMENT.per_run("{results}/attention/{model}/{arm}/seed{seed}.parquet"),
        attention_received=EXPERIMENT.per_run("{results}/attention_received/{model}/{arm}/seed{seed}.parquet"),
        utility=EXPERIMENT.utilities(),
        causal=EXPERIMENT.caused(),
        exemplars=[] if STANDIN else f"{RESULTS}/data/exemplars.csv",
        prefill_alone=f"{RESULTS}/judge/prefill_alone.csv",
        strength=EXPERIMENT.decided_strength(shipped),
        detector=DETECTOR,
        agreement=f"{RESULTS}/judge/agreement_by_arm.csv" if LABELLED_JUDGE and CONFIG.standin.arm_labels else [],
    output:
        checks=report(f"{RESULTS}/tables/checks.csv", caption="../workflow/report/checks.rst", category="1 Checks"),
        exclusions=report(f"{RESULTS}/tables/exclusions.csv", caption="../workflow/report/exclusions.rst", category="1 Checks"),
        headline=report(f"{RESULTS}/tables/headline.txt", caption="../workflow/report/headline.rst", category="2 Result"),
        comparisons=report(f"{RESULTS}/tables/comparisons.csv", caption="../workflow/report/headline.rst", category="2 Result"),
        scores=report(f"{RESULTS}/tables/scores.csv", caption="../workflow/report/scores.rst", category="3 Scores"),
        utility_table=report(f"{RESULTS}/tables/utility.csv", caption="../workflow/report/utility.rst", category="3 Scores"),
        utility_categories=f"{RESULTS}/tables/utility_categories.csv",
        over_refusal=report(
            f"{RESULTS}/tables/over_refusal.csv", caption="../workflow/report/over_refusal.rst", category="3 Scores"
        ),
        ranks_table=report(f"{RESULTS}/tables/ranks.csv", caption="../workflow/report/ranks.rst", category="4 Ranks"),
        bits=report(f"{RESULTS}/tables/bits.csv", caption="../workflow/report/bits.rst", category="4 Ranks"),
        reach=(
            report(f"{RESULTS}/tables/reach.csv", caption="../workflow/report/reach.rst", category="2 Result")
            if EXPERIMENT.searched()
            else f"{RESULTS}/tables/reach.csv"
        ),
        causal_table=f"{RESULTS}/tables/causal.csv",
        targets=f"{RESULTS}/tables/targets.csv",
        matched=report(f"{RESULTS}/tables/matched.csv", caption="../workflow/report/matched.rst", category="2 Result"),
        seeds=f"{RESULTS}/tables/seeds.csv",
        macros=f"{RESULTS}/tables/macros.tex",
        categories=f"{RESULTS}/tables/categories.csv",
        composition_table=report(
            f"{RESULTS}/tables/composition.csv", caption="../workflow/report/composition.rst", category="4 Ranks"
        ),
        composition_by_rank=f"{RESULTS}/tables/composition_by_rank.csv",
        failures=report(f"{RESULTS}/tables/failures.csv", caption="../workflow/report/failures.rst", category="3 Scores"),
        bits_curves=f"{RESULTS}/tables/bits_curves.csv",
        rank_curves=f"{RESULTS}/tables/rank_curves.csv",
        first=report(f"{RESULTS}/tables/first_tokens.csv", caption="../workflow/report/first_tokens.rst", category="4 Ranks"),
        first_entropy=f"{RESULTS}/tables/first_entropy.csv",
        helper_curves=f"{RESULTS}/tables/helper_curves.csv",
        refusal_token_table=f"{RESULTS}/tables/refusal_tokens.csv",
        runs_table=f"{RESULTS}/tables/runs.csv",
        without_examples=f"{RESULTS}/tables/scores_without_examples.csv",
        push_forward=report(
            f"{RESULTS}/tables/push_forward.csv", caption="../workflow/report/push_forward.rst", category="4 Ranks"
        ),
        attention_table=f"{RESULTS}/tables/attention.csv",
        received_table=f"{RESULTS}/tables/attention_received.csv",
        training=f"{RESULTS}/tables/training.csv",
        jailbreak_curves=f"{RESULTS}/tables/jailbreak_curves.csv",
        helpers=report(f"{RESULTS}/tables/helpers.csv", caption="../workflow/report/helpers.rst", category="1 Checks"),
        candidates_table=report(
            f"{RESULTS}/tables/candidates.csv", caption="../workflow/report/candidates.rst", category="4 Ranks"
        ),
        examples=report(f"{RESULTS}/tables/examples.csv", caption="../workflow/report/examples.rst", category="3 Scores"),
        strength_table=report(f"{RESULTS}/tables/strength.csv", caption="../workflow/report/strength.rst", category="1 Checks"),
        judges=report(f"{RESULTS}/tables/judges.csv", caption="../workflow/report/judges.rst", category="3 Scores"),
        summary=f"{RESULTS}/summary.json",
    log:
        f"{RESULTS}/logs/tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(
            **EXPERIMENT.shown(),
            bootstrap=CONFIG.bootstrap,
            primary=EXPERIMENT.primary_attacks(),
            term_pairs=methods_of.term_pairs(CONFIG),
            null_pair=EXPERIMENT.null_pair(),
            refusals_told_by=EXPERIMENT.refusals_told_by(),
            strength=SPECS.strength_spec(),
            best_of=EXPERIMENT.best_of_attacks(),
            show=CONFIG.show_completions,
        ),
        code=code("tables"),
    script:
        "../workflow/scripts/tables.py"


# How far our numbers are from published ones - of models that are known by their hub id.
rule fidelity:
    input:
        scores=f"{RESULTS}/tables/scores.csv",
        comparisons=f"{RESULTS}/tables/comparisons.csv",
        utility=f"{RESULTS}/tables/utility.csv",
        helpers=f"{RESULTS}/tables/helpers.csv",
        refusal_tokens=f"{RESULTS}/tables/refusal_tokens.csv",
        first_entropy=f"{RESULTS}/tables/first_entropy.csv",
        human_times=f"{RESULTS}/tables/human_times.csv",
        values=PUBLISHED,
    output:
        published=f"{RESULTS}/tables/published.csv",
        fidelity=report(f"{RESULTS}/tables/fidelity.csv", caption="../workflow/report/fidelity.rst", category="2 Result"),
    log:
        f"{RESULTS}/logs/fidelity.log",
    benchmark:
        f"{RESULTS}/benchmarks/fidelity.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(
            **EXPERIMENT.known_to_the_paper(),
            entropies=CONFIG.harm.entropies,
            judge=DEFAULT_JUDGE,
            headline=list(CONFIG.headline),
        ),
        code=code("fidelity"),
    script:
        "../workflow/scripts/fidelity.py"


# How long people took, from the sessions that they recorded.
rule human_times:
    input:
        sessions=EXPERIMENT.sessions(),
        untouched=expand(f"{RESULTS}/models/{{model}}/{FETCHED}/seed0", model=MODELS) if EXPERIMENT.by_people() else [],
    output:
        times=f"{RESULTS}/tables/human_times.csv",
    log:
        f"{RESULTS}/logs/human_times.log",
    benchmark:
        f"{RESULTS}/benchmarks/human_times.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(folders=EXPERIMENT.by_people()),
        code=code("human_times"),
    script:
        "../workflow/scripts/human_times.py"


rule corrected_means:
    input:
        completions=EXPERIMENT.completions(),
        grades=EXPERIMENT.grades([LABELLED_JUDGE] if LABELLED_JUDGE else []),
        label_grades=f"{RESULTS}/judge/label_grades.csv",
    output:
        corrected=report(f"{RESULTS}/tables/corrected.csv", caption="../workflow/report/corrected.rst", category="3 Scores"),
    log:
        f"{RESULTS}/logs/corrected_means.log",
    benchmark:
        f"{RESULTS}/benchmarks/corrected_means.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(bootstrap=CONFIG.bootstrap, best_of=EXPERIMENT.best_of_attacks()),
        code=code("corrected"),
    script:
        "../workflow/scripts/corrected_means.py"
