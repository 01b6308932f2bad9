from presto_bench import jobs
from presto_bench.stages import checkpoint

jobs.run(checkpoint.make, snakemake)
