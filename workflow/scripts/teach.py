from presto_bench import jobs
from presto_bench.stages import finetune

jobs.run(finetune.teach, snakemake)
