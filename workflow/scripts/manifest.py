from presto_bench import jobs
from presto_bench.stages import manifest

jobs.run(manifest.make, snakemake)
