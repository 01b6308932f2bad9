from presto_bench.stages import harm, job

job.run(harm.own_refusals, snakemake)
