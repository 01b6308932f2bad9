from presto_bench.stages import job, retry_failed

job.run(retry_failed.make, snakemake)
