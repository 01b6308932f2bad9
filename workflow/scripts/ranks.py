from presto_bench.stages import job, ranks

job.run(ranks.make, snakemake)
