from presto_bench import jobs
from presto_bench.stages import causal

jobs.run(causal.make, snakemake)
