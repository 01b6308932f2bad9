from presto_bench.stages import job, page

job.run(page.make, snakemake)
