from presto_bench import jobs
from presto_bench.stages import composition

jobs.run(composition.make, snakemake)
