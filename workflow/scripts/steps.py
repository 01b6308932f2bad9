from presto_bench.stages import job, steps

job.run(steps.make, snakemake)
