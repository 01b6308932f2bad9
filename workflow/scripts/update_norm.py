from presto_bench.stages import job, update_norm

job.run(update_norm.make, snakemake)
