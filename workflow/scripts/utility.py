from presto_bench.stages import job, utility

job.run(utility.make, snakemake)
