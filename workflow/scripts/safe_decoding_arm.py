from presto_bench.stages import decoding_arm, job

job.run(decoding_arm.make_with_expert, snakemake)
