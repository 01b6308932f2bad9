from presto_bench.stages import job, top_lists

job.run(top_lists.table, snakemake)
