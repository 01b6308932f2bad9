from presto_bench import jobs
from presto_bench.stages import retry_failed

jobs.run(retry_failed.make, snakemake)
