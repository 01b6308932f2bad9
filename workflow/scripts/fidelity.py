from presto_bench.stages import fidelity, job

job.run(fidelity.make, snakemake)
