from presto_bench import jobs
from presto_bench.stages import answers

jobs.run(answers.make, snakemake)
