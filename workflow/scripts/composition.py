from presto_bench.stages import composition, job

job.run(composition.make, snakemake)
