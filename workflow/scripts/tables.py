from presto_bench.stages import job, tables

job.run(tables.make, snakemake)
