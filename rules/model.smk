# Models that are not trained as arms: fetched, defended at decoding time, or a user's own.
# Needs: the config's models. Makes: models/<model>/{untouched or untaught,<checkpoint arm>}/seed0.


rule fetch_model:
    input:
        lambda w: (
            EXPERIMENT.local_files(CONFIG.item("models", w.model).path)
            if CONFIG.item("models", w.model).kind == "local"
            else []
        ),
    output:
        model=directory(f"{RESULTS}/models/{{model}}/{FETCHED}/seed0"),
        manifest=f"{RESULTS}/models/{{model}}/{FETCHED}/seed0.manifest.json",
    log:
        f"{RESULTS}/logs/fetch_model/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_model/{{model}}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        **MACHINE.of_model(only=("mem_mb", "runtime")),
    params:
        spec=lambda w: spec(models=SPECS.model_spec(w.model, "dtype")),
        code=lambda w: hashed("presto_bench.stages.fetch", *EXPERIMENT.asked_by(CONFIG.item("models", w.model))),
    script:
        "../workflow/scripts/fetch_model.py"


rule decoding_arm:
    input:
        defended=lambda w: f"{RESULTS}/models/{w.model}/{CONFIG.item('arms', w.arm).of}/seed{w.seed}",
    output:
        model=kept(directory(f"{RESULTS}/models/{{model}}/{{arm}}/seed{{seed}}")),
        manifest=f"{RESULTS}/models/{{model}}/{{arm}}/seed{{seed}}.manifest.json",
    log:
        f"{RESULTS}/logs/decoding_arm/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/decoding_arm/{{model}}/{{arm}}/seed{{seed}}.tsv"
    wildcard_constraints:
        arm=one_of(EXPERIMENT.arms_of_kind(typed.DecodingArm)),
    conda:
        "../envs/model.yaml"
    params:
        spec=lambda w: spec(models=SPECS.model_spec(w.model, "chat"), arms=SPECS.arm_spec(w.arm)),
        code=code("decoding_arm"),
    script:
        "../workflow/scripts/decoding_arm.py"


use rule decoding_arm as safe_decoding_arm with:
    input:
        defended=lambda w: EXPERIMENT.seeded(w, CONFIG.item("arms", w.arm).of),
        expert=lambda w: EXPERIMENT.seeded(w, CONFIG.item("arms", w.arm).expert),
    log:
        f"{RESULTS}/logs/safe_decoding_arm/{{model}}/{{arm}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/safe_decoding_arm/{{model}}/{{arm}}/seed{{seed}}.tsv"
    wildcard_constraints:
        arm=one_of(EXPERIMENT.arms_of_kind(typed.SafeDecodingArm)),


rule checkpoint:
    input:
        lambda w: EXPERIMENT.local_files(path) if (path := getattr(CONFIG.item("arms", w.arm), "path", None)) else [],
        untouched=EXPERIMENT.untouched,
    output:
        model=directory(f"{RESULTS}/models/{{model}}/{{arm}}/seed0"),
        manifest=f"{RESULTS}/models/{{model}}/{{arm}}/seed0.manifest.json",
    log:
        f"{RESULTS}/logs/checkpoint/{{model}}/{{arm}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/checkpoint/{{model}}/{{arm}}.tsv"
    wildcard_constraints:
        arm=one_of(EXPERIMENT.arms_of_kind((typed.CheckpointArm, typed.EndpointArm))),
    conda:
        "../envs/model.yaml"
    params:
        spec=lambda w: spec(models=SPECS.model_spec(w.model, "dtype"), arms=SPECS.arm_spec(w.arm)),
        code=lambda w: hashed("presto_bench.stages.checkpoint", *EXPERIMENT.asked_by(CONFIG.item("arms", w.arm))),
    script:
        "../workflow/scripts/checkpoint.py"


# What is unusual about a model, said once: a line each in its log and in the run's manifest.
rule doctor:
    input:
        model=f"{RESULTS}/models/{{model}}/{FETCHED}/seed0",
    output:
        findings=f"{RESULTS}/models/{{model}}/doctor.json",
    log:
        f"{RESULTS}/logs/doctor/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/doctor/{{model}}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        **MACHINE.of_model(only=("mem_mb", "runtime")),
    params:
        spec=lambda w: spec(models=SPECS.model_spec(w.model, "chat")),
        code=code("doctor"),
    script:
        "../workflow/scripts/doctor.py"


if not STANDIN or not CONFIG.standin.alignment:

    # The model as it came, which others have aligned.
    rule base:
        input:
            untouched=EXPERIMENT.untouched,
        output:
            trained=directory(f"{RESULTS}/models/{{model}}/base/seed0"),
            manifest=f"{RESULTS}/models/{{model}}/base/seed0.manifest.json",
        log:
            f"{RESULTS}/logs/base/{{model}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/base/{{model}}.tsv"
        conda:
            "../envs/model.yaml"
        params:
            spec=lambda w: spec(models=SPECS.model_spec(w.model)),
            code=code("published_base"),
        script:
            "../workflow/scripts/base.py"
