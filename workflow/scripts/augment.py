from presto_bench.stages import augment, job

job.run(augment.make, snakemake)
