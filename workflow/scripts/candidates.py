from presto_bench import jobs
from presto_bench.stages import candidates

jobs.run(candidates.make, snakemake)
