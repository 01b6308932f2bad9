from presto_bench.stages import bundle, job

job.run(bundle.purge, snakemake)
