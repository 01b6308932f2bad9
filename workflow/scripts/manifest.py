from presto_bench.stages import job, manifest

job.run(manifest.make, snakemake)
