# Named targets: `snakemake attack`, for example, runs all up to the attacks. docs/howto/cluster.md shows how to use them.
# Needs: everything. Makes: nothing.


# What comes over the network: a site whose nodes have none runs this on the login node.
rule fetch:
    input:
        expand(f"{RESULTS}/models/{{model}}/{FETCHED}/seed0", model=MODELS),
        EXPERIMENT.hub_checkpoints(),
        [EXPERIMENT.helper_parent(None)] if CONFIG.helper.model and EXPERIMENT.helped() else [],
        [part for judge in JUDGES for part in EXPERIMENT.judge_inputs(judge).values()],
        [EXPERIMENT.source_file(name) for name in source_names.used(CONFIG)],


rule data:
    input:
        f"{RESULTS}/data/prompts.parquet",
        expand(f"{RESULTS}/data/{{model}}/answers.parquet", model=MODELS),
        EXPERIMENT.triples(),


# What the arms are taught of refusing: published, or written by models where nobody has published any.
rule triples:
    input:
        EXPERIMENT.triples(),


rule finetune:
    input:
        EXPERIMENT.per_run("{results}/models/{model}/{arm}/seed{seed}"),


rule attack:
    input:
        EXPERIMENT.completions(),
        EXPERIMENT.measured_ranks(),


rule grade:
    input:
        EXPERIMENT.grades(JUDGES),


rule figures:
    input:
        FIGURES,


for figure_name in FIGURE_NEEDS:

    rule:
        name:
            f"figure_{figure_name}"
        input:
            expand(f"{RESULTS}/figures/{figure_name}.{{ending}}", ending=["pdf", "png"]),


# The paper's items - one that cannot be made here says what is lacking.
for item_name, item_lacks in EXPERIMENT.paper_items().items():

    rule:
        name:
            item_name
        input:
            paper_item_files(item_name, item_lacks),


# Everything that `snakemake --report report.html` puts into the browsable report.
rule report:
    input:
        rules.all.input,
