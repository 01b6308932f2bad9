from presto_bench.stages import entropy, job

job.run(entropy.of_source, snakemake)
