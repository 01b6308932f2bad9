from presto_bench import jobs
from presto_bench.stages import judge_template

jobs.run(judge_template.make, snakemake)
