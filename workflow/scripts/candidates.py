from presto_bench.stages import candidates, job

job.run(candidates.make, snakemake)
