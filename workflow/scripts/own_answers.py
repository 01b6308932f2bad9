from presto_bench.stages import job, own_answers

job.run(own_answers.make, snakemake)
