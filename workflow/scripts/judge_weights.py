from presto_bench import jobs
from presto_bench.stages import judge_parts

jobs.run(judge_parts.weights, snakemake)
