from presto_bench import jobs
from presto_bench.stages import corrected

jobs.run(corrected.make, snakemake)
