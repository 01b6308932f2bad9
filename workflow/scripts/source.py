from presto_bench.stages import job, source

job.run(source.make, snakemake)
