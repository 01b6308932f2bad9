from presto_bench.stages import job, judge_weights

job.run(judge_weights.make, snakemake)
