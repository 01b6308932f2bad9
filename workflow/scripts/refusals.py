from presto_bench import jobs
from presto_bench.stages import refusals

jobs.run(refusals.make, snakemake)
