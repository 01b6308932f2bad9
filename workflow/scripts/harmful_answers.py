from presto_bench.stages import harm, job

job.run(harm.harmful_answers, snakemake)
