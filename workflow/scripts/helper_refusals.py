from presto_bench.stages import helper_refusals, job

job.run(helper_refusals.make, snakemake)
