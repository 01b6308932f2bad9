from presto_bench import jobs
from presto_bench.stages import figure

jobs.run(figure.make, snakemake)
