from presto_bench import jobs
from presto_bench.stages import bundle

jobs.run(bundle.make, snakemake)
