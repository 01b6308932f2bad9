from presto_bench.stages import job, refusals

job.run(refusals.make, snakemake)
