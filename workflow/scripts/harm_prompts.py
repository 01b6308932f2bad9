from presto_bench.stages import harm_prompts, job

job.run(harm_prompts.make, snakemake)
