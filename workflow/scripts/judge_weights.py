from presto_bench import jobs
from presto_bench.stages import judge_weights

jobs.run(judge_weights.make, snakemake)
