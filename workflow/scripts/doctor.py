from presto_bench.stages import doctor, job

job.run(doctor.make, snakemake)
