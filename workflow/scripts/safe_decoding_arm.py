from presto_bench import jobs
from presto_bench.stages import decoding_arm

jobs.run(decoding_arm.make_with_expert, snakemake)
