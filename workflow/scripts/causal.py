from presto_bench.stages import causal, job

job.run(causal.make, snakemake)
