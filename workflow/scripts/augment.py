from presto_bench import jobs
from presto_bench.stages import augment

jobs.run(augment.make, snakemake)
