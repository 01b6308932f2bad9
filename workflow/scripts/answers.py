from presto_bench.stages import answers, job

job.run(answers.make, snakemake)
