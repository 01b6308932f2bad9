from presto_bench import jobs
from presto_bench.stages import published_base

jobs.run(published_base.make, snakemake)
