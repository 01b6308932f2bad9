from presto_bench import jobs
from presto_bench.stages import front

jobs.run(front.make, snakemake)
