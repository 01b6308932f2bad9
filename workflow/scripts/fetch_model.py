from presto_bench.stages import fetch, job

job.run(fetch.make, snakemake)
