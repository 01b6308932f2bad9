from presto_bench.stages import job, prompts

job.run(prompts.make, snakemake)
