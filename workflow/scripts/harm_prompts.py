from presto_bench import jobs
from presto_bench.stages import harm_prompts

jobs.run(harm_prompts.make, snakemake)
