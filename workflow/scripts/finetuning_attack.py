from presto_bench.stages import finetune, job

job.run(finetune.attack, snakemake)
