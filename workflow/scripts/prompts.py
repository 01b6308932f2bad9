from presto_bench import jobs
from presto_bench.stages import prompts

jobs.run(prompts.make, snakemake)
