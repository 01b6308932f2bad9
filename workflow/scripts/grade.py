from presto_bench import jobs
from presto_bench.stages import grade

jobs.run(grade.make, snakemake)
