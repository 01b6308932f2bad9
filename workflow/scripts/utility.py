from presto_bench import jobs
from presto_bench.stages import utility

jobs.run(utility.make, snakemake)
