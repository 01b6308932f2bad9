from presto_bench.stages import curve, job

job.run(curve.make, snakemake)
