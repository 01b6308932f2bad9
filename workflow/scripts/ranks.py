from presto_bench import jobs
from presto_bench.stages import ranks

jobs.run(ranks.make, snakemake)
