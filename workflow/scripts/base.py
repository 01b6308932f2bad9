from presto_bench.stages import job, published_base

job.run(published_base.make, snakemake)
