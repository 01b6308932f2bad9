from presto_bench import jobs
from presto_bench.stages import attention

jobs.run(attention.make, snakemake)
