from presto_bench.stages import job, verdicts

job.run(verdicts.make, snakemake)
