from presto_bench.stages import job, written_prefills

job.run(written_prefills.fetch, snakemake)
