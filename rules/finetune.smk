# The arms: augmentation as a table, then training as a function of it; and arms after a fine-tuning attack.
# Needs: models/<model>/base, data/<model>/. Makes: augmented/, models/<model>/<arm>/seed<n>.


rule augment:
    input:
        model=EXPERIMENT.base,
        prompts=f"{RESULTS}/data/prompts.parquet",
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
        triples=lambda w: f"{RESULTS}/data/{w.model}/triples/{CONFIG.item('arms', w.arm).refusals}.parquet",
    output:
        augmented=f"{RESULTS}/augmented/{{model}}/{{arm}}/seed{{seed}}.parquet",
    log:
        f"{RESULTS}/logs/augment/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/augment/{{model}}/{{arm}}/seed{{seed}}.tsv"
    wildcard_constraints:
        arm=one_of(EXPERIMENT.arms_of_kind(typed.TrainingArm)),
    conda:
        "../envs/model.yaml"
    params:
        spec=lambda w: spec(models=SPECS.model_spec(w.model, "chat"), arms=SPECS.arm_spec(w.arm, without=HOW)),
        code=code("augment"),
    script:
        "../workflow/scripts/augment.py"


rule finetune_arm:
    input:
        model=EXPERIMENT.base,
        prompts=f"{RESULTS}/data/prompts.parquet",
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
        triples=rules.augment.input.triples,
        augmented=rules.augment.output.augmented,
    output:
        trained=kept(directory(f"{RESULTS}/models/{{model}}/{{arm}}/seed{{seed}}")),
        metrics=f"{RESULTS}/models/{{model}}/{{arm}}/seed{{seed}}.metrics.jsonl",
        manifest=f"{RESULTS}/models/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/finetune/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/finetune/{{model}}/{{arm}}/seed{{seed}}.tsv"
    wildcard_constraints:
        arm=one_of(EXPERIMENT.arms_of_kind(typed.TrainingArm)),
    conda:
        "../envs/model.yaml"
    threads: shared_by(2, lambda w: CONFIG.item("arms", w.arm).launch.processes)
    resources:
        **MACHINE.of_training(),
    params:
        spec=lambda w: spec(models=SPECS.model_spec(w.model, "chat", "dtype"), arms=SPECS.arm_spec(w.arm)),
        code=code("finetune"),
    script:
        "../workflow/scripts/finetune.py"


use rule finetune_arm as finetuning_attack with:
    input:
        unpack(EXPERIMENT.attack_lessons),
        model=lambda w: f"{RESULTS}/models/{w.model}/{CONFIG.item('arms', w.arm).of}/seed{w.seed}",
        prompts=f"{RESULTS}/data/prompts.parquet",
        answers=f"{RESULTS}/data/{{model}}/answers.parquet",
    log:
        f"{RESULTS}/logs/finetuning_attack/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/finetuning_attack/{{model}}/{{arm}}/seed{{seed}}.tsv"
    wildcard_constraints:
        arm=one_of(EXPERIMENT.arms_of_kind(typed.FinetunedArm)),
