from presto_bench.stages import front, job

job.run(front.make, snakemake)
