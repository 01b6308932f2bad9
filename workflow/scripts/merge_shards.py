from presto_bench import jobs
from presto_bench.stages import merge

jobs.run(merge.make, snakemake)
