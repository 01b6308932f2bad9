from presto_bench.stages import job, shipped_answers

job.run(shipped_answers.make, snakemake)
