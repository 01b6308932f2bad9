from presto_bench.stages import card, job

job.run(card.make, snakemake)
