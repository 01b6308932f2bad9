from presto_bench.stages import job, judge_check

job.run(judge_check.prefill_alone, snakemake)
