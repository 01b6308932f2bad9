from presto_bench import jobs
from presto_bench.stages import tables

jobs.run(tables.make, snakemake)
