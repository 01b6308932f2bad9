from presto_bench.stages import helper, job

job.run(helper.make, snakemake)
