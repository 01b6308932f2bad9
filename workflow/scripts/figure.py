from presto_bench.stages import figure, job

job.run(figure.make, snakemake)
