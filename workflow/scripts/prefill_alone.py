from presto_bench import jobs
from presto_bench.stages import judge_check

jobs.run(judge_check.prefill_alone, snakemake)
