from presto_bench import jobs
from presto_bench.stages import verdicts

jobs.run(verdicts.make, snakemake)
