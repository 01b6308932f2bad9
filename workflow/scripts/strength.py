from presto_bench.stages import job, strength

job.run(strength.make, snakemake)
