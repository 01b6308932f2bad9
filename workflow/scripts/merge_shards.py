from presto_bench.stages import job, merge

job.run(merge.make, snakemake)
