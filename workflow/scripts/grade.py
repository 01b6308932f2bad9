from presto_bench.stages import grade, job

job.run(grade.make, snakemake)
