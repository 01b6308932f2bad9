from presto_bench.stages import job, judge_template

job.run(judge_template.make, snakemake)
