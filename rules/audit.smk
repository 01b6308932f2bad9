# An audit's depth card - how deep one arm's refusals are.
# Needs: attacks/, grades/, ranks/, first_tokens/, composition/ and utility/ of that arm. Makes: card/.


rule card:
    input:
        unpack(lambda w: {"agreement": f"{RESULTS}/tables/judge_agreement.csv"} if LABELLED_JUDGE else {}),
        completions=EXPERIMENT.on_the_card("attacks/{attack}/{model}/{arm}/seed{seed}.parquet"),
        grades=EXPERIMENT.on_the_card("grades/{judge}/{attack}/{model}/{arm}/seed{seed}.parquet"),
        ranks=EXPERIMENT.on_the_card("ranks/{model}/{arm}/seed{seed}.parquet"),
        first_tokens=EXPERIMENT.on_the_card("first_tokens/{model}/{arm}/seed{seed}.parquet"),
        composition=EXPERIMENT.on_the_card("composition/{model}/{arm}/seed{seed}.parquet") if CONFIG.composition else [],
        utility=EXPERIMENT.on_the_card("utility/{task}/{model}/{arm}/seed{seed}.parquet"),
        answers=f"{RESULTS}/data/{CONFIG.audit.model}/answers.parquet",
    output:
        card=f"{RESULTS}/card/card.json",
        html=f"{RESULTS}/card/card.html",
        png=f"{RESULTS}/card/card.png",
    log:
        f"{RESULTS}/logs/card.log",
    benchmark:
        f"{RESULTS}/benchmarks/card.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        spec=spec(**EXPERIMENT.card_spec()),
        code=code("card"),
    script:
        "../workflow/scripts/card.py"
