from presto_bench import jobs
from presto_bench.stages import own_answers

jobs.run(own_answers.make, snakemake)
