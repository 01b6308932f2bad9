from presto_bench.stages import corrected, job

job.run(corrected.make, snakemake)
