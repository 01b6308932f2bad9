from presto_bench import jobs
from presto_bench.stages import fetch

jobs.run(fetch.make, snakemake)
