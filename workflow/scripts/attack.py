from presto_bench.stages import attack, job

job.run(attack.make, snakemake)
