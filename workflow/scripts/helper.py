from presto_bench import jobs
from presto_bench.stages import helper

jobs.run(helper.make, snakemake)
