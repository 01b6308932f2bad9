from presto_bench.stages import job, paper_table

job.run(paper_table.make, snakemake)
