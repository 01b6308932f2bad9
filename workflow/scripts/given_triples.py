from presto_bench.stages import harm, job

job.run(harm.triples, snakemake)
