from presto_bench.stages import human_times, job

job.run(human_times.make, snakemake)
