from presto_bench.stages import checkpoint, job

job.run(checkpoint.make, snakemake)
