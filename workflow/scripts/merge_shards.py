from presto_bench import jobs
from presto_bench.stages import attack

jobs.run(attack.merge, snakemake)
